/** Making sure that a waiting visitor is noticed: sound, tab title, spoken announcement, alarms. */
import { t } from '$/i18n/index.svelte'
import { people } from '$/lib/api'
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
    const before = conversations.row(frame.row.id)
    // What this agent put into the queue is no news to them.
    const mine = frame.items.some((item) => item.actor.id === session.id)
    // A row not loaded yet is news only if its stay in the queue just began.
    const since = Date.parse(frame.row.holder.queue?.since ?? '')
    const entered = before ? !inQueue(before) : !(Date.now() - since > 120_000)
    if (!mine && entered && inQueue(frame.row)) this.#queued(frame.row)
    if (frame.items.some((item) => item.kind.startsWith('alarm_'))) void this.loadAlarms()
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

  #queued(row: Row): void {
    // A replayed frame tells of the same stay in the queue again.
    const stay = `${row.id} ${row.holder.queue?.since ?? ''}`
    if (this.#announced.has(stay)) return
    this.#announced.add(stay)
    if (prefs.sound) chime()
    this.spoken = t('announce.waiting', { name: contactName(row.contact) })
    this.fresh = new Set(this.fresh).add(row.id)
    setTimeout(() => {
      const fresh = new Set(this.fresh)
      fresh.delete(row.id)
      this.fresh = fresh
    }, 6000)
  }
}

export const alerts = new Alerts()
