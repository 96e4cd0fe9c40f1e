/** From a key press to a command. Typing is never a command; an open dialog or menu keeps its keys to itself. */
import { workbench } from '$/stores/workbench.svelte'
import { commands } from './commands'

let prefix = ''
let prefixTimer: ReturnType<typeof setTimeout> | undefined

const typing = (target: EventTarget | null): boolean =>
  target instanceof HTMLElement &&
  (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName) || !!target.closest('[role=menu],[role=listbox]'))

const somethingOpen = (): boolean =>
  !!document.querySelector('[role=dialog][data-state=open],[role=alertdialog][data-state=open],[role=menu][data-state=open]')

export function onKey(event: KeyboardEvent): void {
  if (event.defaultPrevented || event.isComposing) return
  if ((event.metaKey || event.ctrlKey) && !event.altKey && !event.shiftKey && event.key.toLowerCase() === 'k') {
    event.preventDefault()
    workbench.paletteText = ''
    workbench.palette = !workbench.palette
    return
  }
  // Typed between the shortcut and the palette's field taking the cursor: it belongs to the field.
  if (workbench.palette && event.key.length === 1 && !event.ctrlKey && !event.metaKey && !typing(event.target)) {
    event.preventDefault()
    workbench.paletteText += event.key
    return
  }
  if (event.metaKey || event.ctrlKey || event.altKey || typing(event.target) || somethingOpen()) return

  if (event.key === 'Escape' && workbench.panelScreen) {
    workbench.panelScreen = false
    return
  }
  const pressed = prefix ? `${prefix} ${event.key}` : event.key
  const known = commands.filter((c) => c.keys)
  if (!prefix && known.some((c) => c.keys!.startsWith(`${event.key} `))) {
    prefix = event.key
    clearTimeout(prefixTimer)
    prefixTimer = setTimeout(() => (prefix = ''), 1200)
    return
  }
  prefix = ''
  clearTimeout(prefixTimer)
  const command = known.find((c) => c.keys === pressed && (!c.when || c.when()))
  if (!command) return
  event.preventDefault()
  command.run()
}
