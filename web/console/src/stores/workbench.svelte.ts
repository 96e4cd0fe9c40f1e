/** What is open on the workbench, so that a key, the palette and a button can all open the same thing. */
import type { Mode } from '$/lib/drafts'
import type { Item } from '$/lib/types'

class Workbench {
  palette = $state(false)
  paletteText = $state('')
  help = $state(false)
  assignToAi = $state(false)
  close = $state(false)
  assign = $state(false)
  more = $state(false)
  /** A confirmation before taking a conversation from a colleague. */
  takeFrom = $state(false)
  /** The AI message whose reasons are on display. */
  explain = $state.raw<Item | null>(null)
  /** On a phone the side panel is a screen of its own. */
  panelScreen = $state(false)
  /** Counts requests for the cursor to be in the composer; the composer answers by taking it. */
  composerWish = $state(0)

  /** Puts text where the composer's cursor is; set by the composer on screen. */
  insert: ((text: string, mode?: Mode) => void) | null = null

  focusComposer(): void {
    this.panelScreen = false
    this.composerWish++
  }

  closeAll(): void {
    this.assignToAi = this.close = this.assign = this.more = this.takeFrom = false
    this.explain = null
  }
}

export const workbench = new Workbench()
export type { Mode }
