/** From events to what is drawn: days, messages (in runs by one author), lines between them. */
import { dayKey } from '$/lib/format'
import type { Item, Message } from '$/lib/types'

export type Entry =
  | { type: 'day'; key: string; at: string }
  | { type: 'message'; key: string; item: Item; message: Message; run: boolean }
  | { type: 'event'; key: string; item: Item }

const runLimit = 4 * 60_000

export function entriesOf(items: readonly Item[], speaks: (item: Item) => boolean): Entry[] {
  const entries: Entry[] = []
  let day = 0
  let last: Message | null = null
  for (const item of items) {
    const message = item.message?.kind === 'return_note' ? null : item.message
    const line = speaks(item)
    if (!message && !line) continue
    if (dayKey(item.at) !== day) {
      day = dayKey(item.at)
      entries.push({ type: 'day', key: `day-${day}`, at: item.at })
      last = null
    }
    if (line) {
      entries.push({ type: 'event', key: `e${item.seq}`, item })
      last = null
    }
    if (message) {
      const run =
        last !== null &&
        last.kind === message.kind &&
        message.kind === 'text' &&
        last.author.kind === message.author.kind &&
        last.author.id === message.author.id &&
        Date.parse(message.at) - Date.parse(last.at) < runLimit
      entries.push({ type: 'message', key: message.id, item, message, run })
      last = message
    }
  }
  return entries
}
