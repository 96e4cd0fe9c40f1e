/**
 * The socket: connects, says hello, listens, reconnects with growing and scattered pauses. It knows nothing about
 * conversations; whoever owns it gives the hello and gets the frames.
 */
import type { Frame } from "./types.ts";

interface Hooks {
  hello(): Promise<{ token: string; after: number }>;
  frame(f: Frame): void;
  /** The token is no longer good. */
  refused(): void;
  /** Up: welcomed. Down: lost or not reached; `failures` in a row since the last welcome. */
  change(up: boolean, failures: number): void;
}

const PING_MS = 25_000;
const SILENCE_MS = 60_000;
const WELCOME_MS = 10_000;

export class Live {
  up = false;
  #socket: WebSocket | null = null;
  #wanted = false;
  #failures = 0;
  #timer = 0;
  #watch = 0;

  readonly #url: string;
  readonly #hooks: Hooks;

  constructor(
    url: string,
    hooks: Hooks,
  ) {
    this.#url = url;
    this.#hooks = hooks;
  }

  /** Connects; when a pause is running, at once. */
  start(): void {
    this.#wanted = true;
    if (!this.#socket) this.#connect();
  }

  stop(): void {
    this.#wanted = false;
    clearTimeout(this.#timer);
    this.#socket?.close(1000);
    this.#lost(null);
  }

  #connect(): void {
    clearTimeout(this.#timer);
    let socket: WebSocket;
    try {
      socket = this.#socket = new WebSocket(this.#url);
    } catch {
      // A policy of the page may forbid the address outright.
      this.#socket = null;
      return this.#later(0);
    }
    let heard = Date.now();
    const mine = () => this.#socket === socket;
    const send = (frame: object) => socket.readyState === 1 && socket.send(JSON.stringify(frame));
    clearInterval(this.#watch);
    const begun = heard;
    this.#watch = window.setInterval(() => {
      const now = Date.now();
      if (now - heard > SILENCE_MS || (!this.up && now - begun > WELCOME_MS)) {
        // A dead network does not answer a close either: do not wait for it.
        socket.close();
        if (mine()) this.#lost(0);
      } else if (now - heard > PING_MS) send({ type: "ping" });
    }, 5_000);
    socket.onopen = async () => {
      try {
        const { token, after } = await this.#hooks.hello();
        if (mine()) send({ type: "hello", token, after });
      } catch {
        socket.close();
      }
    };
    socket.onmessage = (e) => {
      if (!mine()) return;
      heard = Date.now();
      let frame: Frame;
      try {
        frame = JSON.parse(e.data);
      } catch {
        return;
      }
      if (frame.type === "ping") return void send({ type: "pong" });
      if (frame.type === "welcome") {
        this.up = true;
        this.#failures = 0;
      }
      this.#hooks.frame(frame);
      if (frame.type === "welcome") this.#hooks.change(true, 0);
    };
    socket.onclose = (e) => mine() && this.#lost(e.code);
  }

  #lost(code: number | null): void {
    clearInterval(this.#watch);
    const socket = this.#socket;
    this.#socket = null;
    this.up = false;
    if (!socket || !this.#wanted) return;
    if (code === 4401) this.#hooks.refused();
    this.#later(code ?? 0);
  }

  #later(code: number): void {
    this.#failures++;
    this.#hooks.change(false, this.#failures);
    // Scattered, so that a restarted server is not met by everybody in the same second.
    const most = Math.min(30_000, 500 * 2 ** this.#failures) + (code === 4429 ? 10_000 : code === 4403 ? 60_000 : 0);
    const wait = code === 4408 && this.#failures < 3 ? 0 : most / 2 + (Math.random() * most) / 2;
    this.#timer = window.setTimeout(() => this.#wanted && this.#connect(), wait);
  }
}
