/** Requests to the server: no cookies, a time limit, and errors that say whether trying again can help. */

export class ApiError extends Error {
  constructor(
    /** HTTP status; 0 when the server was not reached. */
    readonly status: number,
    readonly code: string,
    /** Seconds to wait before the next try, when the server said so. */
    readonly retryAfter: number,
  ) {
    super(code);
  }

  /** The same request may succeed later without anybody changing anything. */
  get passing(): boolean {
    return this.status === 0 || this.status === 408 || this.status === 429 || this.status >= 500;
  }
}

export async function call<T>(origin: string, method: string, path: string, token?: string | null, body?: unknown): Promise<T> {
  const stop = new AbortController();
  const timer = setTimeout(() => stop.abort(), 15_000);
  try {
    const response = await fetch(`${origin}/api/v1/widget/${path}`, {
      method,
      credentials: "omit",
      signal: stop.signal,
      headers: {
        ...(body === undefined ? {} : { "content-type": "application/json" }),
        ...(token ? { authorization: `Bearer ${token}` } : {}),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    if (response.ok) return (text ? JSON.parse(text) : null) as T;
    let error: { code?: string; detail?: { retry_after?: number } } = {};
    try {
      error = JSON.parse(text).error ?? {};
    } catch {
      // A proxy's error page: the status says enough.
    }
    const after = Number(response.headers.get("retry-after") ?? error.detail?.retry_after);
    throw new ApiError(response.status, error.code ?? "", after > 0 ? after : 0);
  } catch (e) {
    throw e instanceof ApiError ? e : new ApiError(0, "network", 0);
  } finally {
    clearTimeout(timer);
  }
}
