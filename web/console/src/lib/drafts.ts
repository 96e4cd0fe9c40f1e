/** What an agent typed and has not sent, per conversation and mode; survives reloads, never leaves the browser. */
export type Mode = 'reply' | 'note'

const prefix = 'baton.draft.'
const memory = new Map<string, string>()
const keyOf = (conversation: string, mode: Mode) => `${prefix}${conversation}.${mode}`

export function readDraft(conversation: string, mode: Mode): string {
  const key = keyOf(conversation, mode)
  const known = memory.get(key)
  if (known !== undefined) return known
  try {
    return localStorage.getItem(key) ?? ''
  } catch {
    return ''
  }
}

export function writeDraft(conversation: string, mode: Mode, text: string): void {
  const key = keyOf(conversation, mode)
  memory.set(key, text)
  try {
    if (text) localStorage.setItem(key, text)
    else localStorage.removeItem(key)
  } catch {
    // Storage may be full or forbidden: memory still holds it for this visit.
  }
}

/** Signing out on a shared computer must not leave customers' matters behind. */
export function forgetDrafts(): void {
  memory.clear()
  try {
    for (const key of Object.keys(localStorage)) if (key.startsWith(prefix)) localStorage.removeItem(key)
  } catch {
    // Nothing stored, nothing to forget.
  }
}
