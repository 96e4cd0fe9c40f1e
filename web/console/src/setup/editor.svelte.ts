/** One AI agent being edited: the saved configuration, the changes not saved yet, what the test chat said. */
import { assistants, inboxes as inboxApi, knowledge } from '$/lib/api'
import { ApiError } from '$/lib/http'
import type { Asked, Assistant, Config, Inbox, KnowledgeBase } from '$/lib/types'
import { messageOf } from '$/stores/toasts.svelte'

export type TestTurn = { role: 'visitor' | 'assistant'; text: string; asked?: Asked }

export class Editor {
  readonly id: string
  phase = $state<'loading' | 'ready' | 'error'>('loading')
  error = $state('')
  assistant = $state.raw<Assistant | null>(null)
  config = $state<Config | null>(null)
  bases = $state.raw<KnowledgeBase[]>([])
  inboxes = $state.raw<Inbox[]>([])
  saving = $state(false)
  /** Someone else published a newer version while this one was being edited. */
  outdated = $state(false)
  fieldErrors = $state<Record<string, string>>({})
  test = $state.raw<TestTurn[]>([])
  #savedText = $state('')

  constructor(id: string) {
    this.id = id
  }

  get dirty(): boolean {
    return this.config !== null && JSON.stringify(this.config) !== this.#savedText
  }

  async load(): Promise<void> {
    this.phase = 'loading'
    try {
      const [assistant, bases, inboxes] = await Promise.all([assistants.get(this.id), knowledge.list(), inboxApi.list()])
      this.bases = bases.items
      this.inboxes = inboxes.items
      this.#take(assistant)
      this.phase = 'ready'
    } catch (error) {
      this.error = messageOf(error)
      this.phase = 'error'
    }
  }

  async reloadBases(): Promise<void> {
    this.bases = (await knowledge.list()).items
  }

  discard(): void {
    if (this.assistant) this.#take(this.assistant)
  }

  /** Null when it went through; otherwise what to tell the person. */
  async save(): Promise<string | null> {
    if (!this.config || !this.assistant) return null
    this.saving = true
    this.fieldErrors = {}
    try {
      this.#take(await assistants.save(this.id, this.assistant.version, $state.snapshot(this.config)))
      return null
    } catch (error) {
      if (error instanceof ApiError && error.code === 'stale_version') {
        this.outdated = true
        return null
      }
      const text = messageOf(error)
      if (error instanceof ApiError && error.field) this.fieldErrors = { [error.field.replace(/^config\./, '')]: text }
      return text
    } finally {
      this.saving = false
    }
  }

  #take(assistant: Assistant): void {
    this.assistant = assistant
    const config = structuredClone(assistant.config)
    // Every language has a place to write in, so that the form needs no special cases.
    config.identity.greeting ??= {}
    config.identity.disclosure ??= {}
    this.config = config
    this.#savedText = JSON.stringify(config)
    this.outdated = false
    this.fieldErrors = {}
  }
}
