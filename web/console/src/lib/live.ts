/**
 * The one socket. Keeps itself connected and remembers how far the feed was read, so that a reconnect resumes without a
 * gap; what frames mean is decided by the stores that listen.
 */
import { auth } from './api'
import { ApiError } from './http'
import type { Frame } from './types'

export type LiveStatus = 'connecting' | 'online' | 'reconnecting' | 'stopped'
type Handlers = {
  frame: (frame: Frame) => void
  status: (status: LiveStatus, retryAt: number | null) => void
  signedOut: () => void
}

const pingEvery = 20_000
const silenceLimit = 45_000
const firstDelay = 400
const longestDelay = 20_000

export class Live {
  #handlers: Handlers
  #socket: WebSocket | null = null
  #cursor: string | null = null
  #watch: string | null = null
  #attempt = 0
  #retry: ReturnType<typeof setTimeout> | undefined
  #heart: ReturnType<typeof setInterval> | undefined
  #lastHeard = 0
  #running = false
  /** Grows with each connection attempt, so that a late answer of an older attempt is ignored. */
  #generation = 0

  constructor(handlers: Handlers) {
    this.#handlers = handlers
  }

  start(): void {
    if (this.#running) return
    this.#running = true
    addEventListener('online', this.#hurry)
    document.addEventListener('visibilitychange', this.#hurry)
    void this.#connect()
  }

  stop(): void {
    this.#running = false
    removeEventListener('online', this.#hurry)
    document.removeEventListener('visibilitychange', this.#hurry)
    this.#drop()
    this.#cursor = null
    this.#handlers.status('stopped', null)
  }

  watch(conversation: string | null): void {
    this.#watch = conversation
    this.#send({ type: 'watch', conversation_id: conversation })
  }

  retryNow(): void {
    if (!this.#running || this.#socket?.readyState === WebSocket.OPEN) return
    this.#attempt = 0
    clearTimeout(this.#retry)
    void this.#connect()
  }

  #send(frame: object): void {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(frame))
  }

  #hurry = (): void => {
    if (document.visibilityState === 'visible' && !this.#socket) this.retryNow()
  }

  #drop(): void {
    this.#generation++
    clearTimeout(this.#retry)
    clearInterval(this.#heart)
    const socket = this.#socket
    this.#socket = null
    socket?.close()
  }

  async #connect(): Promise<void> {
    this.#drop()
    const generation = this.#generation
    let ticket: string
    try {
      ticket = (await auth.ticket()).ticket
    } catch (error) {
      if (generation !== this.#generation || !this.#running) return
      if (error instanceof ApiError && error.status === 401) this.#handlers.signedOut()
      else this.#later()
      return
    }
    if (generation !== this.#generation || !this.#running) return

    const socket = new WebSocket(`${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/api/v1/live`)
    this.#socket = socket
    socket.onopen = () => {
      this.#lastHeard = Date.now()
      this.#send({ type: 'hello', ticket, cursor: this.#cursor, watch: this.#watch })
      this.#heart = setInterval(() => {
        // A dead network does not close a socket by itself: silence does.
        if (Date.now() - this.#lastHeard > silenceLimit) this.#lost(generation)
        else this.#send({ type: 'ping' })
      }, pingEvery)
    }
    socket.onmessage = (event) => {
      if (generation !== this.#generation) return
      this.#lastHeard = Date.now()
      let frame: Frame
      try {
        frame = JSON.parse(String(event.data)) as Frame
      } catch {
        return
      }
      if (frame.type === 'ping') return this.#send({ type: 'pong' })
      if (frame.type === 'pong') return
      if (frame.type === 'welcome') {
        this.#attempt = 0
        this.#handlers.status('online', null)
      }
      this.#handlers.frame(frame)
      // Only after the stores took it in: a frame that failed half-way is asked for again.
      if ('cursor' in frame) this.#cursor = frame.cursor
    }
    socket.onclose = () => this.#lost(generation)
  }

  #lost(generation: number): void {
    if (generation !== this.#generation || !this.#running) return
    this.#drop()
    this.#later()
  }

  #later(): void {
    const ceiling = Math.min(longestDelay, firstDelay * 2 ** this.#attempt)
    this.#attempt++
    // Half fixed, half random: no thundering herd when a server restarts, and never an instant retry loop.
    const delay = ceiling / 2 + Math.random() * (ceiling / 2)
    this.#handlers.status('reconnecting', Date.now() + delay)
    this.#retry = setTimeout(() => void this.#connect(), delay)
  }
}
