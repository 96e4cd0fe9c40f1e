/** One opened conversation: its timeline without gaps, the AI's live draft, what helps the agent. */
import { conversations as api } from '$/lib/api'
import { readDraft, writeDraft, type Mode } from '$/lib/drafts'
import { ApiError } from '$/lib/http'
import type { Artifact, Assist, Author, Detail, Frame, Holder, Item, Message, Named, Row } from '$/lib/types'
import { conversations } from './conversations.svelte'
import { messageOf } from './toasts.svelte'

const pageSize = 100
export type Draft = { turn: string; attempt: number; epoch: number; parts: string[] }
export type Pending = {
  client_id: string
  mode: Mode
  text: string
  at: string
  epoch: number
  state: 'sending' | 'failed'
  error: string
  suggestion?: { artifact_id: string; index: number }
}
/** Someone else moved first. The agent's text is untouched; this says who holds the conversation now. */
export type Conflict = { holder: Holder; at: string; unsent: boolean }

export class Thread {
  readonly id: string
  phase = $state<'loading' | 'ready' | 'error' | 'missing'>('loading')
  error = $state('')
  detail = $state.raw<Detail | null>(null)
  items = $state.raw<Item[]>([])
  hasOlder = $state(false)
  older = $state<'idle' | 'loading' | 'error'>('idle')
  draft = $state.raw<Draft | null>(null)
  assist = $state.raw<Assist | null>(null)
  pending = $state.raw<Pending[]>([])
  conflict = $state.raw<Conflict | null>(null)
  typing = $state.raw<{ author: Author; at: number } | null>(null)
  viewers = $state.raw<Named[]>([])
  mode = $state<Mode>('reply')
  /** Suggestions already dealt with, "artifact:index" → fate. */
  fates = $state<Record<string, 'inserted' | 'dismissed'>>({})
  /** The suggestion the composer's text came from, told to the server with the reply. */
  inserted: { artifact_id: string; index: number } | null = null

  #texts = $state<Record<Mode, string>>({ reply: '', note: '' })
  /** Everything up to this number is here or known not to exist. */
  #covered = 0
  /** Drafts written under an older epoch than this must never appear again. */
  #minEpoch = 0
  #catching: Promise<void> | null = null

  constructor(id: string) {
    this.id = id
    this.#texts = { reply: readDraft(id, 'reply'), note: readDraft(id, 'note') }
  }

  text(mode: Mode): string {
    return this.#texts[mode]
  }
  write(mode: Mode, text: string): void {
    this.#texts[mode] = text
    writeDraft(this.id, mode, text)
    if (mode === 'reply' && !text) this.inserted = null
  }

  get draftText(): string {
    let text = ''
    // Sentences may arrive out of order; only the unbroken beginning is shown.
    for (const part of this.draft?.parts ?? []) {
      if (part === undefined) break
      text += part
    }
    return text
  }

  async load(): Promise<void> {
    if (this.detail) return this.refresh()
    this.phase = 'loading'
    try {
      const detail = await api.detail(this.id)
      const page = await api.timeline(this.id, { before: detail.seq + 1, limit: pageSize })
      this.applyRow(detail)
      this.hasOlder = page.has_more
      this.#merge(page.items)
      this.#covered = Math.max(this.#covered, detail.seq, page.items.at(-1)?.seq ?? 0)
      this.phase = 'ready'
      void this.loadAssist()
      // Something happened while this was loading; its frame was not applied to a half-loaded thread.
      const newer = conversations.row(this.id)
      if (newer && newer.seq > detail.seq) void this.refresh().catch(() => {})
    } catch (error) {
      this.error = messageOf(error)
      this.phase = error instanceof ApiError && error.status === 404 ? 'missing' : 'error'
    }
  }

  /** After being away (another conversation, a lost connection): current state, then whatever was missed. */
  async refresh(): Promise<void> {
    try {
      this.applyRow(await api.detail(this.id), true)
      await this.catchUp()
      void this.loadAssist()
    } catch (error) {
      if (!(error instanceof ApiError && error.offline)) throw error
    }
  }

  async loadOlder(): Promise<void> {
    const first = this.items[0]
    if (!first || !this.hasOlder || this.older === 'loading') return
    this.older = 'loading'
    try {
      const page = await api.timeline(this.id, { before: first.seq, limit: pageSize })
      this.hasOlder = page.has_more && page.items.length > 0
      this.#merge(page.items)
      this.older = 'idle'
    } catch {
      this.older = 'error'
    }
  }

  async loadAssist(): Promise<void> {
    try {
      this.assist = await api.assist(this.id)
    } catch {
      this.assist ??= { brief: null, summary: null, suggestions: null }
    }
  }

  catchUp(): Promise<void> {
    this.#catching ??= this.#fetchMissed().finally(() => (this.#catching = null))
    return this.#catching
  }

  async #fetchMissed(): Promise<void> {
    for (;;) {
      const from = this.#covered
      const page = await api.timeline(this.id, { after: from, limit: 500 })
      this.#merge(page.items)
      this.#covered = Math.max(from, page.items.at(-1)?.seq ?? from)
      if (!page.has_more || this.#covered === from) return
    }
  }

  /** `force` takes the row even when its number is not newer: some fields change without an event. */
  applyRow(row: Row | Detail, force = false): void {
    const known = this.detail
    if (known && row.seq < known.seq && !force) return
    this.detail = { ...(known ?? ({} as Detail)), ...row, contact: { ...known?.contact, ...row.contact } }
    this.#minEpoch = Math.max(this.#minEpoch, row.holder.state === 'assistant' ? 0 : row.epoch)
    if (this.draft && (row.holder.state !== 'assistant' || this.draft.epoch < row.epoch)) this.draft = null
    conversations.apply(row)
  }

  applyItems(items: Item[], live: boolean): void {
    if (this.phase !== 'ready' || !items.length) return
    const sorted = [...items].sort((a, b) => a.seq - b.seq)
    let next = this.#covered
    for (const item of sorted) if (item.seq === next + 1) next = item.seq
    const gap = (sorted.at(-1)?.seq ?? 0) > next
    this.#covered = next
    this.#merge(sorted)
    if (gap && live) void this.catchUp().catch(() => {})
  }

  /** The answer to our own command may arrive before the socket tells of it. */
  applyMessage(message: Message): void {
    const kind = message.kind === 'note' ? 'noted' : 'agent_wrote'
    this.applyItems(
      [{ seq: message.seq, epoch: this.detail?.epoch ?? 0, at: message.at, kind, actor: message.author, message, data: {} }],
      true,
    )
  }

  #merge(items: Item[]): void {
    if (!items.length) return
    const bySeq = new Map(this.items.map((item) => [item.seq, item]))
    const arrived = new Set<string>()
    for (const item of items) {
      // What is known of an event only grows; an answer that was on its way may know less of it.
      bySeq.set(item.seq, { ...item, data: { ...bySeq.get(item.seq)?.data, ...item.data } })
      if (item.message?.client_id) arrived.add(item.message.client_id)
      if (item.message?.author.kind === this.typing?.author.kind) this.typing = null
      this.#endDraft(item)
    }
    this.items = [...bySeq.values()].sort((a, b) => a.seq - b.seq)
    if (arrived.size) this.pending = this.pending.filter((p) => !arrived.has(p.client_id))
  }

  #endDraft(item: Item): void {
    if (!this.draft) return
    const ended = item.kind === 'assistant_answered' || item.kind === 'turn_cancelled' || item.kind === 'turn_superseded'
    if (ended && (!item.data['turn'] || item.data['turn'] === this.draft.turn)) this.draft = null
  }

  /** Takes the draft off the screen at once, before the server has confirmed that the AI stopped. */
  silence(): void {
    this.draft = null
    this.#minEpoch = (this.detail?.epoch ?? 0) + 1
  }
  /** The takeover did not happen after all: drafts of the present epoch may be shown again. */
  unsilence(): void {
    this.#minEpoch = 0
  }

  frame(frame: Extract<Frame, { conversation_id: string }>): void {
    if (frame.type === 'draft') {
      if (frame.epoch < this.#minEpoch) return
      const same = this.draft?.turn === frame.turn && this.draft.attempt === frame.attempt
      const parts = same ? [...this.draft!.parts] : []
      parts[frame.index] = frame.text
      this.draft = { turn: frame.turn, attempt: frame.attempt, epoch: frame.epoch, parts }
    } else if (frame.type === 'draft_dropped') {
      this.#minEpoch = Math.max(this.#minEpoch, frame.epoch)
      if (this.draft && (this.draft.turn === frame.turn || this.draft.epoch < frame.epoch)) this.draft = null
    } else if (frame.type === 'assist') {
      this.applyArtifact(frame.artifact)
    } else if (frame.type === 'typing') {
      this.typing = { author: frame.author, at: Date.now() }
    } else if (frame.type === 'viewers') {
      this.viewers = frame.agents
    }
  }

  applyArtifact(artifact: Artifact): void {
    const assist = this.assist ?? { brief: null, summary: null, suggestions: null }
    this.assist = { ...assist, [artifact.kind]: artifact }
  }
}
