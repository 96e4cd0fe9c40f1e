/** Opened conversations. The last few stay in memory, so that going back to one shows it at once. */
import type { Frame } from '$/lib/types'
import { Thread } from './thread.svelte'

const kept = 12

class Threads {
  current = $state.raw<Thread | null>(null)
  #open = new Map<string, Thread>()

  open(id: string | null): Thread | null {
    if (id === (this.current?.id ?? null)) return this.current
    if (!id) return (this.current = null)
    const thread = this.#open.get(id) ?? new Thread(id)
    this.#open.delete(id)
    this.#open.set(id, thread)
    for (const [old, other] of this.#open) {
      if (this.#open.size <= kept) break
      // A message still on its way keeps its thread.
      if (!other.pending.length) this.#open.delete(old)
    }
    thread.draft = null
    thread.typing = null
    thread.viewers = []
    this.current = thread
    void thread.load().catch(() => {})
    return thread
  }

  changed(frame: Extract<Frame, { type: 'changed' }>): void {
    const thread = this.#open.get(frame.row.id)
    if (!thread || thread.phase !== 'ready') return
    thread.applyRow(frame.row)
    thread.applyItems(frame.items, thread === this.current)
  }

  frame(frame: Extract<Frame, { conversation_id: string }>): void {
    this.#open.get(frame.conversation_id)?.frame(frame)
  }

  reset(): void {
    this.#open.clear()
    this.current = null
  }
}

export const threads = new Threads()
