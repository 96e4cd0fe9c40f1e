/**
 * What the visitor did and the server has not acknowledged. Written before it is sent, removed when it is on the server's
 * disk, and always sent under the same id, so that a reload, a dead network or a second tab can neither lose nor double it.
 *
 * One storage key per item: tabs share the storage, and with one list for all they would overwrite each other.
 */
import type { Store } from "./storage.ts";

export interface Item {
  id: string;
  kind: "text" | "person";
  text: string;
  at: number;
  /** Error code of a refusal that repeating cannot mend; the visitor decides. */
  failed?: string;
}

export class Outbox {
  #last = 0;

  readonly #store: Store;
  readonly #now: () => number;
  readonly #newId: () => string;

  constructor(
    store: Store,
    readonly prefix: string,
    now: () => number = Date.now,
    newId: () => string = uuid,
  ) {
    this.#store = store;
    this.#now = now;
    this.#newId = newId;
  }

  /** In the order they were written. */
  items(): Item[] {
    return this.#store
      .keys(this.prefix)
      .map((key) => parse(this.#store.get(key)))
      .filter((item) => item !== null)
      .sort((a, b) => a.at - b.at || (a.id < b.id ? -1 : 1));
  }

  add(kind: Item["kind"], text: string): Item {
    this.#last = Math.max(this.#now(), this.#last + 1);
    const item: Item = { id: this.#newId(), kind, text, at: this.#last };
    this.#store.set(this.prefix + item.id, JSON.stringify(item));
    return item;
  }

  /** Marks an item refused, or (no code) due again. One that is gone was acknowledged meanwhile and stays gone. */
  mark(id: string, failed?: string): void {
    const item = parse(this.#store.get(this.prefix + id));
    if (item) this.#store.set(this.prefix + id, JSON.stringify({ ...item, failed }));
  }

  remove(id: string): void {
    this.#store.del(this.prefix + id);
  }
}

/** Null for what is not an item: host pages can write anything into their storage. */
export function parse(raw: string | null): Item | null {
  try {
    const item = JSON.parse(raw ?? "null") as Item | null;
    return item && typeof item.id === "string" && typeof item.text === "string" && typeof item.at === "number" ? item : null;
  } catch {
    return null;
  }
}

/** `randomUUID` exists only on secure pages. */
export function uuid(): string {
  if (crypto.randomUUID) return crypto.randomUUID();
  const b = crypto.getRandomValues(new Uint8Array(16));
  b[6] = (b[6]! & 15) | 64;
  b[8] = (b[8]! & 63) | 128;
  const hex = [...b].map((n) => n.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}
