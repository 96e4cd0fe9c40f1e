/**
 * The visitor's side of a conversation: session, outbox, socket or polling, resume. No DOM of its own; whoever draws it
 * reads the fields and is told when something changed.
 *
 * Laws kept here: what the visitor wrote is stored before it is sent and sent under one id until it is acknowledged; a
 * hole in the numbers is fetched; a token that went bad costs a request, never a message.
 */
import { Access, alone, page } from "./access.ts";
import { ApiError } from "./api.ts";
import { Live } from "./live.ts";
import { Outbox, parse, type Item } from "./outbox.ts";
import { readJson, type Store } from "./storage.ts";
import { Thread } from "./thread.ts";
import type { Author, Config, Conversation, Frame, Message, Meta, Session } from "./types.ts";

export const MAX_CHARS = 8000;

const POLL_OPEN_MS = 3_000;
const POLL_CLOSED_MS = 30_000;
export class Client {
  readonly thread = new Thread();
  readonly outbox: Outbox;
  config: Config | null = null;
  email: string | null = null;
  /** Why there is nothing to show yet, or null. */
  problem: ApiError | null = null;
  /** The server was reached at the last try and the device says it has a network. */
  reachable = true;
  /** Sending pauses until then because the server asked for it. */
  slowUntil = 0;
  typing: Pick<Author, "kind" | "name"> | null = null;
  /** Items another tab got acknowledged; shown until the message itself is here. */
  ghosts: Item[] = [];

  #open = false;
  #beginning: Promise<void> | null = null;
  readonly #live: Live;
  #flushing = false;
  #again = false;
  #failures = 0;
  #catching: Promise<void> | null = null;
  /** Where asking for what is missing gave nothing: not asked again until something moves. */
  #fruitless = "";
  #timers: Record<string, number> = {};
  #typed = 0;

  readonly #inbox: string;
  readonly #locale: string;
  readonly #store: Store;
  readonly #changed: () => void;
  readonly #access: Access;

  constructor(origin: string, inbox: string, locale: string, store: Store, changed: () => void) {
    this.#inbox = inbox;
    this.#locale = locale;
    this.#store = store;
    this.#changed = changed;
    this.outbox = new Outbox(store, this.#key("out:"));
    this.#access = new Access(origin, inbox, locale, store, {
      session: (s) => this.#begun(s),
      reached: (yes) => this.#reached(yes),
    });
    this.#live = new Live(`${origin.replace(/^http/, "ws")}/api/v1/live`, {
      hello: async () => ({ token: await this.#access.token(), after: this.thread.through }),
      frame: (f) => this.#frame(f),
      refused: () => this.#access.refuse(),
      change: (up) => this.#link(up),
    });
    this.#listen();
  }

  // — what the visitor does —

  /** The panel opened (or this visitor has written before): be connected. */
  begin(): void {
    if (this.#beginning) return;
    this.#beginning = this.#access
      .session()
      .then(() => this.#connect())
      .catch((e: unknown) => this.#startFailed(e as ApiError))
      .finally(() => {
        this.#beginning = null;
        void this.#flush();
      });
  }

  setOpen(open: boolean): void {
    this.#open = open;
    if (open && !this.config) this.begin();
    else this.#connect();
    this.#poll();
  }

  send(text: string): void {
    this.#put("text", text);
  }

  /** Goes through the outbox like a message: it survives a reload and keeps its place between them. */
  requestPerson(): void {
    if (!this.items().some((i) => i.kind === "person" && !i.failed)) this.#put("person", "");
  }

  retry(id: string): void {
    this.outbox.mark(id);
    this.now();
  }

  discard(id: string): void {
    this.outbox.remove(id);
    this.#changed();
  }

  /** Everything at once, now: the visitor pressed "try again", or the network came back. */
  now(): void {
    this.#failures = 0;
    this.#changed();
    if (!this.config) this.begin();
    else {
      this.#connect();
      void this.#flush();
    }
  }

  items(): Item[] {
    return this.outbox.items();
  }

  async leaveEmail(email: string): Promise<void> {
    await this.#access.ask("POST", "contact", { email });
    this.email = email;
    this.#changed();
  }

  async history(): Promise<void> {
    const first = this.thread.messages[0];
    if (first) this.thread.history(await this.#access.ask<Conversation>("GET", `conversation?before=${first.public_seq}`));
    this.#changed();
  }

  isTyping(): void {
    if (!this.thread.meta || Date.now() - this.#typed < 4_000) return;
    this.#typed = Date.now();
    this.#access.ask("POST", "typing", {}).catch(() => {});
  }

  /** The visitor has the newest message before their eyes. */
  see(): void {
    const last = this.thread.messages.at(-1)?.public_seq ?? 0;
    const id = this.thread.meta?.id;
    if (!id || last <= this.#seen) return;
    this.#store.set(this.#key("seen"), JSON.stringify([id, last]));
    this.#after("seen", 600, () => void this.#access.ask("POST", "seen", { public_seq: this.#seen }).catch(() => {}));
  }

  /** Numbers begin again with another conversation, so the mark names its own. Shared by the tabs. */
  get #seen(): number {
    const [id, seq] = readJson<[string, number]>(this.#store, this.#key("seen")) ?? [];
    return id === this.thread.meta?.id ? (seq ?? 0) : 0;
  }

  get unread(): number {
    const seen = this.#seen;
    return this.thread.messages.filter((m) => m.public_seq > seen && m.author.kind !== "visitor" && m.kind === "text").length;
  }

  get talked(): boolean {
    return !!this.#store.get(this.#key("talked"));
  }

  // — session —

  #key(name: string): string {
    return `baton:${this.#inbox}:${name}`;
  }

  #begun(s: Session): void {
    this.#store.set(this.#key("accent"), s.config.accent);
    this.config = s.config;
    this.email = s.contact?.email ?? null;
    this.problem = null;
    this.#adopt(s.conversation, !this.#live.up);
    if (s.conversation?.messages.length) this.#store.set(this.#key("talked"), "1");
    this.#changed();
  }

  #startFailed(e: ApiError): void {
    this.problem = e;
    // Refused for good (unknown inbox, foreign page): asking again would only make noise; the button still can.
    if (e.passing) this.#after("begin", this.#pause(e), () => this.begin());
    this.#changed();
  }

  #reached(yes: boolean): void {
    if (this.reachable === yes) return;
    this.reachable = yes;
    this.#changed();
  }

  // — outbox —

  #put(kind: Item["kind"], text: string): void {
    this.outbox.add(kind, text);
    this.#store.set(this.#key("talked"), "1");
    this.#changed();
    if (!this.config) this.begin();
    else {
      this.#connect();
      void this.#flush();
    }
  }

  async #flush(): Promise<void> {
    if (this.#flushing) {
      this.#again = true;
      return;
    }
    this.#flushing = true;
    clearTimeout(this.#timers["flush"]);
    try {
      do {
        this.#again = false;
        await alone(this.#key("send"), () => this.#drain());
      } while (this.#again);
    } catch (e) {
      this.#sendFailed(e as ApiError);
    } finally {
      this.#flushing = false;
      this.#changed();
    }
  }

  /** In order, one at a time, read afresh each time: other tabs write and send too. */
  async #drain(): Promise<void> {
    for (let item; (item = this.items().find((i) => !i.failed)); ) {
      if (this.thread.has(item.id)) {
        this.outbox.remove(item.id);
        continue;
      }
      if (this.slowUntil > Date.now()) throw new ApiError(429, "rate_limited", (this.slowUntil - Date.now()) / 1000);
      try {
        await this.#deliver(item);
        this.#failures = 0;
        this.slowUntil = 0;
      } catch (e) {
        if ((e as ApiError).passing || (e as ApiError).status === 401) throw e;
        this.outbox.mark(item.id, (e as ApiError).code || "refused");
      }
      this.#changed();
    }
  }

  async #deliver(item: Item): Promise<void> {
    if (item.kind === "person") {
      const r = await this.#access.ask<{ state: Meta | string } & Meta>("POST", "request-person", { client_id: item.id });
      this.thread.state(typeof r.state === "object" ? r.state : r);
    } else {
      const r = await this.#access.ask<{ message: Message; conversation_id: string; epoch: number }>("POST", "messages", {
        client_id: item.id,
        text: item.text,
        locale: this.#locale,
        page: page(),
      });
      this.thread.message(r.message);
      this.thread.raise(r.epoch);
    }
    this.outbox.remove(item.id);
    this.#settle();
    this.#poll();
  }

  #sendFailed(e: ApiError): void {
    const wait = this.#pause(e);
    if (e.status === 429) {
      this.slowUntil = Date.now() + wait;
      // Counts down on the screen.
      for (let s = 1; s * 1000 <= wait && s < 120; s++) setTimeout(() => this.#changed(), s * 1000);
    }
    this.#after("flush", wait + 50, () => void this.#flush());
  }

  #pause(e: ApiError): number {
    if (e.retryAfter) return e.retryAfter * 1000;
    const most = Math.min(30_000, 1_000 * 2 ** this.#failures++);
    return Math.max(e.status === 429 ? 5_000 : 0, most / 2 + (Math.random() * most) / 2);
  }

  // — what the server says —

  #frame(f: Frame): void {
    if (f.type === "welcome") {
      if (f.conversation || !this.thread.messages.length) this.#adopt(f.conversation, true);
      // Welcomed just before the first message was stored: its acknowledgement is the newer word.
      else void this.#catchUp().catch(() => {});
    } else if (f.type === "message") this.thread.message(f.message);
    else if (f.type === "state") {
      this.thread.state(f.conversation);
      if (f.conversation.state !== "assistant" && this.typing?.kind === "assistant") this.typing = null;
    } else if (f.type === "draft") this.thread.draftFrame(f);
    else if (f.type === "draft_dropped") this.thread.dropped(f.turn, f.epoch);
    else if (f.type === "typing") {
      this.typing = f.author;
      // Dots that nobody takes back would promise an answer for ever.
      this.#after("typing", f.author.kind === "assistant" ? 30_000 : 6_000, () => {
        this.typing = null;
        this.#changed();
      });
    } else return;
    if (f.type === "draft_dropped" || (f.type === "message" && f.message.author.kind !== "visitor")) this.typing = null;
    this.#settle();
    this.#changed();
  }

  #adopt(c: Conversation | null, drafts: boolean): void {
    this.thread.snapshot(c, drafts);
    this.#settle();
  }

  /** After anything new: what is committed leaves the outbox, and a hole in the numbers is fetched if it stays one. */
  #settle(): void {
    for (const i of this.items()) if (this.thread.has(i.id)) this.outbox.remove(i.id);
    this.ghosts = this.ghosts.filter((g) => !this.thread.has(g.id));
    const from = this.thread.through;
    if (this.thread.gap && this.#fruitless !== `${from}/${this.thread.last}`)
      this.#after("gap", 300, () => {
        if (this.thread.gap && this.thread.through === from) void this.#catchUp().catch(() => {});
      });
  }

  /** Everything after the last number without a hole. */
  #catchUp(drafts = false): Promise<void> {
    this.#catching ??= (async () => {
      for (let pages = 0; pages < 20; pages++) {
        const from = this.thread.through;
        const c = await this.#access.ask<Conversation | null>("GET", `conversation?after=${from}`);
        // No conversation yet is not the loss of one: only a session or a welcome may say that.
        if (c) this.thread.snapshot(c, drafts);
        if (!this.thread.gap || this.thread.through === from) break;
      }
      this.#fruitless = `${this.thread.through}/${this.thread.last}`;
      this.#settle();
      this.#changed();
    })().finally(() => (this.#catching = null));
    return this.#catching;
  }

  // — socket and polling —

  #connect(): void {
    if (!this.config) return;
    if (this.#open || this.talked) this.#live.start();
    else this.#live.stop();
  }

  #link(up: boolean): void {
    if (up) {
      this.#reached(true);
      this.#failures = 0;
      void this.#flush();
    }
    this.#poll();
    this.#changed();
  }

  /** While the socket is down the same words come by asking; some networks let only plain requests through. */
  #poll(): void {
    clearTimeout(this.#timers["poll"]);
    if (this.#live.up || !this.config || !(this.#open || this.talked)) return;
    this.#after("poll", this.#open && !document.hidden ? POLL_OPEN_MS : POLL_CLOSED_MS, () => {
      if (this.#live.up) return;
      // Before the first message there is no conversation to ask for.
      const asked = this.thread.meta || this.talked ? this.#catchUp(true) : Promise.resolve();
      asked.catch(() => {}).finally(() => this.#poll());
    });
  }

  // — the page —

  #listen(): void {
    addEventListener("online", () => {
      this.reachable = true;
      this.now();
    });
    addEventListener("offline", () => this.#changed());
    document.addEventListener("visibilitychange", () => {
      if (document.hidden || !this.config) return;
      this.#connect();
      this.#poll();
      void this.#access.token().catch(() => {});
      this.#changed();
    });
    // A page kept for "back" must not hold a socket, and its timers stood still.
    addEventListener("pagehide", () => this.#live.stop());
    addEventListener("pageshow", (e) => e.persisted && this.now());
    addEventListener("storage", (e) => {
      if (!e.key?.startsWith(this.#key(""))) return;
      if (e.key === this.#key("talked")) this.now();
      if (e.key.startsWith(this.outbox.prefix) && !e.newValue) {
        const item = parse(e.oldValue);
        if (item?.kind === "text" && !item.failed && !this.thread.has(item.id)) this.ghosts.push(item);
        // The other tab has its answer; this one may have no socket to hear it from.
        this.#after("other", 1_000, () => this.ghosts.length && void this.#catchUp().catch(() => {}));
      }
      this.#changed();
    });
    setInterval(() => this.config && (this.#open || this.talked) && void this.#access.token().catch(() => {}), 60_000);
  }

  #after(name: string, ms: number, run: () => void): void {
    clearTimeout(this.#timers[name]);
    this.#timers[name] = window.setTimeout(run, ms);
  }
}
