/** The list of conversations: what is loaded, what is shown, how many there are. */
import { conversations as api } from '$/lib/api'
import type { Counts, Row, StateFilter, View } from '$/lib/types'
import { messageOf } from './toasts.svelte'
import { session } from './session.svelte'

const pageSize = 50

export const inQueue = (row: Pick<Row, 'holder'>): boolean => row.holder.state === 'human' && !row.holder.agent

function matches(row: Row, view: View, state: StateFilter | null): boolean {
  const holder = row.holder
  if (view === 'unassigned' && !inQueue(row)) return false
  if (view === 'mine' && holder.agent?.id !== session.id) return false
  if (state === null) return true
  return state === 'open' ? holder.state !== 'closed' : holder.state === state
}

class Conversations {
  view = $state<View>('all')
  state = $state<StateFilter | null>('open')
  filter = $state('')
  phase = $state<'loading' | 'ready' | 'error'>('loading')
  error = $state('')
  more = $state<'idle' | 'loading' | 'error'>('idle')
  counts = $state.raw<Counts | null>(null)

  /** Every row known, of any view: changes are merged here, the list shows those that belong. */
  #rows = $state.raw<Map<string, Row>>(new Map())
  #cursor = $state<string | null>(null)
  /** Activity time of the oldest row loaded for this view: older rows belong to pages not yet asked for. */
  #reach = $state('')
  #read = new Map<string, number>()
  #generation = 0
  #countTimer: ReturnType<typeof setTimeout> | undefined

  shown = $derived.by(() => {
    const wanted = this.filter.trim().toLocaleLowerCase()
    return [...this.#rows.values()]
      .filter((row) => matches(row, this.view, this.state) && (this.#cursor === null || row.updated_at >= this.#reach))
      .filter((row) => !wanted || textOf(row).includes(wanted))
      .sort((a, b) => (a.updated_at < b.updated_at ? 1 : a.updated_at > b.updated_at ? -1 : a.id < b.id ? 1 : -1))
  })

  get hasMore(): boolean {
    return this.#cursor !== null
  }
  row(id: string): Row | undefined {
    return this.#rows.get(id)
  }
  get known(): Row[] {
    return [...this.#rows.values()]
  }

  /** `quiet` keeps what is on screen while asking again (after a reconnect). */
  async load(quiet = false): Promise<void> {
    const generation = ++this.#generation
    if (!quiet) this.phase = 'loading'
    this.more = 'idle'
    this.#count(0)
    try {
      const page = await api.list({ view: this.view, state: this.state, limit: pageSize })
      if (generation !== this.#generation) return
      this.#merge(page.items)
      this.#cursor = page.next_cursor
      this.#reach = page.items.at(-1)?.updated_at ?? ''
      this.phase = 'ready'
    } catch (error) {
      if (generation !== this.#generation) return
      this.error = messageOf(error)
      if (!quiet || this.phase === 'loading') this.phase = 'error'
    }
  }

  async loadMore(): Promise<void> {
    if (!this.#cursor || this.more === 'loading' || this.phase !== 'ready') return
    const generation = this.#generation
    this.more = 'loading'
    try {
      const page = await api.list({ view: this.view, state: this.state, limit: pageSize, cursor: this.#cursor })
      if (generation !== this.#generation) return
      this.#merge(page.items)
      this.#cursor = page.next_cursor
      this.#reach = page.items.at(-1)?.updated_at ?? this.#reach
      this.more = 'idle'
    } catch {
      if (generation === this.#generation) this.more = 'error'
    }
  }

  show(view: View, state: StateFilter | null = this.state): void {
    if (view === this.view && state === this.state && this.phase !== 'loading') return
    this.view = view
    this.state = state
    void this.load()
  }

  /** A row as some answer or frame gave it. An older one than known changes nothing. */
  apply(row: Row): void {
    this.#merge([row])
  }
  /** A change made here before the server confirmed it (unread count, renamed contact). */
  patch(id: string, change: Partial<Row>): void {
    const row = this.#rows.get(id)
    if (row) this.#rows = new Map(this.#rows).set(id, { ...row, ...change })
  }

  /** Read up to here by this agent; answers that were on their way say otherwise for a moment. */
  markRead(id: string, seq: number): void {
    this.#read.set(id, seq)
    this.patch(id, { unread: 0 })
  }

  recount(): void {
    this.#count(350)
  }

  reset(): void {
    this.#generation++
    clearTimeout(this.#countTimer)
    this.#rows = new Map()
    this.#read.clear()
    this.#cursor = null
    this.counts = null
    this.filter = ''
    this.phase = 'loading'
  }

  #merge(rows: Row[]): void {
    const next = new Map(this.#rows)
    for (const row of rows) {
      const known = next.get(row.id)
      if (known && row.seq < known.seq) continue
      next.set(row.id, row.unread && (this.#read.get(row.id) ?? 0) >= row.seq ? { ...row, unread: 0 } : row)
    }
    this.#rows = next
  }

  /** Counts are asked for at most once per beat, however many frames arrive. */
  #count(delay: number): void {
    if (delay && this.#countTimer) return
    clearTimeout(this.#countTimer)
    this.#countTimer = setTimeout(() => {
      this.#countTimer = undefined
      api.counts().then(
        (counts) => (this.counts = counts),
        () => {}, // The next change asks again; stale numbers are better than none.
      )
    }, delay)
  }
}

const textOf = (row: Row): string =>
  [row.contact.name, row.contact.email, row.contact.phone, row.snippet?.text, row.holder.agent?.name, row.inbox.name]
    .filter(Boolean)
    .join(' ')
    .toLocaleLowerCase()

export const conversations = new Conversations()
