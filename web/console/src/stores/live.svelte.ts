/** Ties the socket to the stores: each frame goes to whoever keeps what it is about. */
import { Live, type LiveStatus } from '$/lib/live'
import type { Frame } from '$/lib/types'
import { agents } from './agents.svelte'
import { alerts } from './alerts.svelte'
import { conversations } from './conversations.svelte'
import { session } from './session.svelte'
import { threads } from './threads.svelte'

class Connection {
  status = $state<LiveStatus>('connecting')
  retryAt = $state<number | null>(null)
  /** Since when there has been no connection; short losses are not worth a bar. */
  lostAt = $state<number | null>(null)
  #welcomed = false

  #live = new Live({
    frame: (frame) => this.#frame(frame),
    status: (status, retryAt) => {
      this.status = status
      this.retryAt = retryAt
      if (status === 'online' || status === 'stopped') this.lostAt = null
      else this.lostAt ??= Date.now()
    },
    signedOut: () => session.ended(),
  })

  start(): void {
    this.status = 'connecting'
    this.#welcomed = false
    this.#live.start()
  }
  stop(): void {
    this.#live.stop()
  }
  watch(conversation: string | null): void {
    this.#live.watch(conversation)
  }
  retryNow(): void {
    this.#live.retryNow()
  }

  #frame(frame: Frame): void {
    switch (frame.type) {
      case 'welcome':
        // The feed begins here, but the lists may have been read a moment before: ask once more, quietly.
        if (!this.#welcomed) this.#reload()
        else conversations.recount()
        this.#welcomed = true
        return
      case 'resync':
        void alerts.catchUp()
        return this.#reload()
      case 'changed':
        alerts.changed(frame)
        conversations.apply(frame.row)
        threads.changed(frame)
        return conversations.recount()
      case 'alarm':
        return alerts.raised(frame.alarm)
      case 'presence':
        return agents.presence(frame.agent)
      case 'draft':
      case 'draft_dropped':
      case 'assist':
      case 'typing':
      case 'viewers':
        return threads.frame(frame)
    }
  }

  #reload(): void {
    void conversations.load(true)
    void alerts.loadAlarms()
    if (threads.current?.phase === 'ready') void threads.current.refresh().catch(() => {})
  }
}

export const connection = new Connection()
