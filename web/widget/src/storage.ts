/**
 * Storage that never throws. Pages may block or partition it, private windows may fill it: then this tab's memory serves,
 * and only what should outlive the tab is lost. Scripts of the host page can read what is in here; that is the price of
 * using no cookies, and why a token opens one conversation and nothing else.
 */
export interface Store {
  get(key: string): string | null;
  set(key: string, value: string): void;
  del(key: string): void;
  keys(prefix: string): string[];
}

export function safeStore(open: () => Storage): Store {
  const memory = new Map<string, string>();
  const attempt = <T>(run: (s: Storage) => T, otherwise: T): T => {
    try {
      return run(open());
    } catch {
      return otherwise;
    }
  };
  return {
    get: (key) => memory.get(key) ?? attempt((s) => s.getItem(key), null),
    set(key, value) {
      const stored = attempt((s) => (s.setItem(key, value), true), false);
      if (stored) memory.delete(key);
      else memory.set(key, value);
    },
    del(key) {
      memory.delete(key);
      attempt((s) => s.removeItem(key), undefined);
    },
    keys(prefix) {
      const found = new Set(memory.keys());
      attempt((s) => {
        for (let i = 0; i < s.length; i++) found.add(s.key(i)!);
      }, undefined);
      return [...found].filter((k) => k.startsWith(prefix));
    },
  };
}

/** Null for what is not there or not JSON: host pages can write anything into their storage. */
export function readJson<T>(store: Store, key: string): T | null {
  try {
    return JSON.parse(store.get(key) ?? "null") as T | null;
  } catch {
    return null;
  }
}
