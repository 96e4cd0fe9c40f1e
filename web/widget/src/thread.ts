/**
 * The conversation as this tab knows it: what the server committed, plus the answer being written. No I/O, no clock.
 *
 * Invariants: a message is in the list once, whatever frames say it how often and in which order; the list is ordered by
 * `public_seq`; a draft never outlives its epoch, its turn's commit or its drop.
 */
import type { Conversation, Frame, Message, Meta } from "./types.ts";

type DraftFrame = Extract<Frame, { type: "draft" }>;

export interface Draft {
  turn: string;
  attempt: number;
  epoch: number;
  text: string;
  /** Next sentence number; null after a snapshot, which gives the text so far but not how many sentences it was. */
  next: number | null;
  /** Sentences that overtook an earlier one. */
  early: Map<number, string>;
}

/** How many messages the server gives at most at once; fewer means that there are no others. */
const PAGE = 50;

export class Thread {
  meta: Meta | null = null;
  messages: Message[] = [];
  draft: Draft | null = null;
  /** There is more before the first message. */
  earlier = false;
  /** Everything up to here is deliberately not loaded. */
  #base = 0;
  /** Messages before which the server has nothing that is not here, whatever the numbers say. */
  #sealed = new Set<number>();
  /** Highest epoch heard of: drafts below it are words of someone who no longer holds the conversation. */
  #epoch = 0;
  /** The last draft that ended. Sentences of it that arrive late are not a new draft. */
  #ended: { turn: string; attempt: number } | null = null;

  /** Last number up to which nothing is missing: where to resume from. */
  get through(): number {
    let n = this.#base;
    for (const m of this.messages) {
      if (m.public_seq > n + 1 && !this.#sealed.has(m.public_seq)) break;
      n = Math.max(n, m.public_seq);
    }
    return n;
  }

  /** Highest number heard of. */
  get last(): number {
    return Math.max(this.#base, this.meta?.public_seq ?? 0, this.messages.at(-1)?.public_seq ?? 0);
  }

  get gap(): boolean {
    return this.through < this.last;
  }

  has(clientId: string): boolean {
    return this.messages.some((m) => m.client_id === clientId);
  }

  /** A session, a welcome or a resume. `drafts`: it is the newest word on the draft too (a late HTTP answer is not). */
  snapshot(c: Conversation | null, drafts: boolean): void {
    if (!c || (this.meta && c.id !== this.meta.id)) this.#reset();
    if (!c) return;
    const sorted = [...c.messages].sort((a, b) => a.public_seq - b.public_seq);
    const first = sorted[0]?.public_seq ?? this.through + 1;
    const fresh = !this.messages.length;
    const hole = first > this.through + 1;
    if (fresh || (hole && sorted.length >= PAGE)) {
      // Too far behind to be joined: what is between stays behind "earlier messages" rather than leaving a silent hole.
      if (sorted.length) {
        this.messages = this.messages.filter((m) => m.public_seq >= first);
        this.#base = first - 1;
      }
      this.earlier = c.has_earlier;
    }
    // A hole that the server does not fill is none: hiding what comes after it would lose more than a number.
    if (sorted.length < PAGE) for (const m of sorted) this.#sealed.add(m.public_seq);
    for (const m of sorted) this.message(m);
    this.state(c);
    if (!drafts) return;
    const d = c.draft;
    if (!d || d.epoch < this.#epoch || this.#over(d)) this.draft = null;
    else if (!this.draft || this.draft.turn !== d.turn || this.draft.attempt !== d.attempt || this.draft.text.length < d.text.length)
      this.draft = { turn: d.turn, attempt: d.attempt, epoch: d.epoch, text: d.text, next: null, early: new Map() };
  }

  /** Messages before the first one. */
  history(c: Conversation): void {
    for (const m of c.messages) {
      this.#insert(m);
      this.#base = Math.min(this.#base, m.public_seq - 1);
    }
    this.earlier = c.has_earlier && c.messages.length > 0;
  }

  message(m: Message): void {
    const newest = m.public_seq > (this.messages.at(-1)?.public_seq ?? this.#base);
    this.#insert(m);
    // Only the newest word ends the draft: an old answer that fills a gap says nothing about the one being written.
    if (newest && m.author.kind === "assistant" && m.kind === "text") this.#end(Infinity);
  }

  state(meta: Meta): void {
    const known = this.meta;
    if (known && known.id === meta.id && (meta.epoch < known.epoch || (meta.epoch === known.epoch && meta.public_seq < known.public_seq)))
      return;
    const { id, state, answering, queue, epoch, public_seq } = meta;
    this.meta = { id, state, answering, queue, epoch, public_seq };
    this.raise(epoch);
  }

  draftFrame(f: DraftFrame): void {
    if (f.epoch < this.#epoch || this.#over(f)) return;
    let d = this.draft;
    if (d && d.turn === f.turn && f.attempt < d.attempt) return;
    this.raise(f.epoch);
    if (!d || d.turn !== f.turn || d.attempt !== f.attempt)
      d = this.draft = { turn: f.turn, attempt: f.attempt, epoch: f.epoch, text: "", next: 0, early: new Map() };
    if (d.next === null) {
      // The first sentence after a snapshot is either its last one again or the one after it.
      d.next = d.text.endsWith(f.text) ? f.index + 1 : f.index;
    }
    if (f.index >= d.next) d.early.set(f.index, f.text);
    for (let s; (s = d.early.get(d.next)) !== undefined; d.next++) {
      d.early.delete(d.next);
      d.text += s;
    }
  }

  dropped(turn: string, epoch: number): void {
    this.raise(epoch);
    if (this.draft?.turn === turn) this.#end(this.draft.attempt);
  }

  /** What is below this epoch may no longer speak. */
  raise(epoch: number): void {
    this.#epoch = Math.max(this.#epoch, epoch);
    if (this.draft && this.draft.epoch < this.#epoch) this.#end(this.draft.attempt);
  }

  #over(d: { turn: string; attempt: number }): boolean {
    return this.#ended?.turn === d.turn && d.attempt <= this.#ended.attempt;
  }

  #end(attempt: number): void {
    if (this.draft) this.#ended = { turn: this.draft.turn, attempt };
    this.draft = null;
  }

  #insert(m: Message): void {
    const list = this.messages;
    const same = list.findIndex((o) => o.id === m.id || o.public_seq === m.public_seq);
    if (same >= 0) {
      list[same] = m;
      return;
    }
    let at = list.length;
    while (at > 0 && list[at - 1]!.public_seq > m.public_seq) at--;
    list.splice(at, 0, m);
  }

  #reset(): void {
    this.meta = null;
    this.messages = [];
    this.draft = this.#ended = null;
    this.earlier = false;
    this.#base = this.#epoch = 0;
    this.#sealed.clear();
  }
}
