/** Short messages at the edge of the screen; each may offer one thing to do (undo, mostly). */
import { ApiError } from '$/lib/http'
import { t } from '$/i18n/index.svelte'

export type Toast = { id: number; tone: 'info' | 'error'; text: string; action?: { label: string; run: () => void } }

class Toasts {
  items = $state.raw<Toast[]>([])
  #next = 1

  show(text: string, options: { tone?: Toast['tone']; action?: Toast['action']; ms?: number } = {}): void {
    const toast: Toast = { id: this.#next++, tone: options.tone ?? 'info', text, action: options.action }
    // Only the last thing done can be undone: what an older offer would undo has moved on.
    const others = toast.action ? this.items.filter((other) => !other.action) : this.items
    this.items = [...others.slice(-2), toast]
    // Long enough to read and to reach the button; errors stay longer.
    setTimeout(() => this.dismiss(toast.id), options.ms ?? (toast.tone === 'error' || toast.action ? 9000 : 5000))
  }

  error(error: unknown): void {
    this.show(messageOf(error), { tone: 'error' })
  }

  dismiss(id: number): void {
    this.items = this.items.filter((toast) => toast.id !== id)
  }
}

/** What to tell a person about a failure: the server's own words when there are any. */
export function messageOf(error: unknown): string {
  if (error instanceof ApiError) {
    if (error.offline) return t('error.offline')
    if (error.code === 'rate_limited') return error.message || t('error.rate_limited')
    return error.message || t('error.unknown')
  }
  return t('error.unknown')
}

export const toasts = new Toasts()
