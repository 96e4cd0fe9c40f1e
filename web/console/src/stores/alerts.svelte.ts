/** Making sure that a waiting visitor is noticed: sound, tab title, spoken announcement, alarms. */
import { t } from '$/i18n/index.svelte'
import { conversations as api, people } from '$/lib/api'
import { chime } from '$/lib/chime'
import { contactName } from '$/lib/format'
import type { Alarm, Frame, Row } from '$/lib/types'
import { conversations, inQueue } from './conversations.svelte'
import { prefs } from './prefs.svelte'
import { session } from './session.svelte'
import { messageOf, toasts } from './toasts.svelte'

class Alerts {
  alarms = $state.raw<Alarm[]>([])
  /** Read out by screen readers. */
  spoken = $state('')
  /** Conversations that just entered the queue; their rows light up for a moment. */
  fresh = $state.raw<ReadonlySet<string>>(new Set())
  #announced = new Set<string>()

  async loadAlarms(): Promise<void> {
    try {
      this.alarms = (await people.alarms()).items
    } catch {
      // The socket's next alarm asks again.
    }
  }

  /** Must see the row before the list takes it in, to know whether it was in the queue already. */
  changed(frame: Extract<Frame, { type: 'changed' }>): void {
    const { row, items } = frame
    if (inQueue(row)) {
      const before = conversations.row(row.id)
      // What this agent put into the queue is no news to them.
      if (items.some((item) => item.actor.id === session.id)) this.#announced.add(stayOf(row))
      // A list that was asked for meanwhile may have brought the row first: a stay that just began is news all the same.
      else if ((before && !inQueue(before)) || justBegan(row)) this.#queued([row])
    }
    if (items.some((item) => item.kind.startsWith('alarm_'))) void this.loadAlarms()
  }

  /** After a gap in the feed: whoever came to wait meanwhile. Must be called before the list is asked for again. */
  async catchUp(): Promise<void> {
    const waiting = new Set(conversations.known.filter(inQueue).map(stayOf))
    try {
      const { items } = await api.list({ view: 'unassigned', state: null, limit: 50 })
      this.#queued(items.filter((row) => inQueue(row) && !waiting.has(stayOf(row))))
    } catch {
      // The title's number still tells that somebody waits.
    }
  }

  raised(alarm: Alarm): void {
    if (this.alarms.some((a) => a.id === alarm.id)) return
    this.alarms = [...this.alarms, alarm]
    if (prefs.sound) chime()
  }

  async acknowledge(alarm: Alarm): Promise<void> {
    this.alarms = this.alarms.filter((a) => a.id !== alarm.id)
    try {
      await people.acknowledge(alarm.id)
    } catch (error) {
      toasts.show(messageOf(error), { tone: 'error' })
      await this.loadAlarms()
    }
  }

  get title(): string {
    const waiting = conversations.counts?.unassigned ?? 0
    if (waiting > 0) return `(${waiting}) ● ${t('title.waiting')} – Baton`
    const unread = conversations.counts?.unread ?? 0
    return unread > 0 ? `(${unread}) Baton` : 'Baton'
  }

  reset(): void {
    this.alarms = []
    this.#announced.clear()
  }

  /** However many come at once, they ring once. */
  #queued(rows: Row[]): void {
    // A replayed frame tells of the same stay in the queue again.
    const news = rows.filter((row) => !this.#announced.has(stayOf(row)))
    const last = news.at(-1)
    if (!last) return
    for (const row of news) this.#announced.add(stayOf(row))
    if (prefs.sound) chime()
    this.spoken = t('announce.waiting', { name: contactName(last.contact) })
    const ids = news.map((row) => row.id)
    this.fresh = new Set([...this.fresh, ...ids])
    setTimeout(() => {
      const fresh = new Set(this.fresh)
      for (const id of ids) fresh.delete(id)
      this.fresh = fresh
    }, 6000)
  }
}

/** One stay of a conversation in the queue. */
const stayOf = (row: Row): string => `${row.id} ${row.holder.queue?.since ?? ''}`
const justBegan = (row: Row): boolean => !(Date.now() - Date.parse(row.holder.queue?.since ?? '') > 120_000)

export const alerts = new Alerts()
