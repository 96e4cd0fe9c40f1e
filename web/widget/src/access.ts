/**
 * The visitor's token: got, kept, renewed, and used for every request. Shared by the tabs of one browser, so that one
 * browser is one contact.
 */
import { ApiError, call } from "./api.ts";
import { readJson, type Store } from "./storage.ts";
import type { Session } from "./types.ts";

/** A renewal is asked for at most this often, so that a visitor's wrong clock does not make it a loop. */
const RENEW_PAUSE_MS = 300_000;

/** The token as stored. */
interface Pass {
  token: string;
  renew: number;
}

interface Hooks {
  /** A session began or was renewed. */
  session(s: Session): void;
  /** Whether the server could be reached at all; any answer, even an error, says yes. */
  reached(yes: boolean): void;
}

export class Access {
  #renewed = 0;
  /** A token the server refused: to be exchanged, not to be used. */
  #bad: string | null = null;

  readonly #origin: string;
  readonly #inbox: string;
  readonly #locale: string;
  readonly #store: Store;
  readonly #hooks: Hooks;

  constructor(origin: string, inbox: string, locale: string, store: Store, hooks: Hooks) {
    this.#origin = origin;
    this.#inbox = inbox;
    this.#locale = locale;
    this.#store = store;
    this.#hooks = hooks;
  }

  /** A token that works, a new one when the old is due. */
  async token(): Promise<string> {
    const pass = this.#pass();
    if (!pass || pass.token === this.#bad) await this.session(pass?.token);
    else if (pass.renew < Date.now() && this.#renewed < Date.now() - RENEW_PAUSE_MS) {
      // Due, not expired: if renewing fails, the old one still serves.
      this.#renewed = Date.now();
      await this.session(pass.token).catch(() => {});
    }
    return this.#pass()!.token;
  }

  /** The server no longer takes the current token. */
  refuse(): void {
    this.#bad = this.#pass()?.token ?? null;
  }

  /**
   * `stale`: only needed if this is still the stored token; else another tab has renewed meanwhile. A refused token is
   * shown too: the server decides whether it may be renewed.
   */
  async session(stale?: string): Promise<void> {
    await alone(this.#key("session"), async () => {
      const token = this.#pass()?.token;
      if (stale && token && token !== stale) return;
      const s = await this.#reach(() =>
        call<Session>(this.#origin, "POST", `${encodeURIComponent(this.#inbox)}/session`, null, {
          ...(token ? { token } : {}),
          locale: this.#locale,
          page: page(),
        }),
      );
      this.#renewed = Date.now();
      this.#bad = null;
      const pass: Pass = { token: s.token, renew: Date.parse(s.renew_after) || Number.MAX_SAFE_INTEGER };
      this.#store.set(this.#key("pass"), JSON.stringify(pass));
      this.#hooks.session(s);
    });
  }

  /** A request with the token; if that turns out to be bad, once more with a new one. */
  async ask<T>(method: string, path: string, body?: unknown): Promise<T> {
    const send = async () => {
      const token = await this.token();
      return this.#reach(() => call<T>(this.#origin, method, path, token, body));
    };
    try {
      return await send();
    } catch (e) {
      if (!(e instanceof ApiError) || e.status !== 401) throw e;
      this.refuse();
      return send();
    }
  }

  #key(name: string): string {
    return `baton:${this.#inbox}:${name}`;
  }

  #pass(): Pass | null {
    return readJson<Pass>(this.#store, this.#key("pass"));
  }

  async #reach<T>(run: () => Promise<T>): Promise<T> {
    try {
      const result = await run();
      this.#hooks.reached(true);
      return result;
    } catch (e) {
      this.#hooks.reached((e as ApiError).status !== 0);
      throw e;
    }
  }
}

/** One tab at a time. Where locks are missing or refused, the client ids alone keep things single. */
export async function alone(name: string, run: () => Promise<void>): Promise<void> {
  let begun = false;
  const once = () => ((begun = true), run());
  try {
    if (!navigator.locks) return await once();
    await navigator.locks.request(name, once);
  } catch (e) {
    if (begun) throw e;
    await once();
  }
}

/** Without the fragment: pages keep secrets there. */
export const page = () => ({ url: location.href.split("#")[0]!, title: document.title.slice(0, 300) });
