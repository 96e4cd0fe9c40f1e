/** One way to talk to the server: JSON in, JSON out, errors as ApiError. */
import type { Holder } from './types'

export class ApiError extends Error {
  readonly status: number
  readonly code: string
  readonly field: string | null
  readonly detail: Record<string, unknown>

  constructor(status: number, code: string, message: string, field: string | null, detail: Record<string, unknown>) {
    super(message)
    this.status = status
    this.code = code
    this.field = field
    this.detail = detail
  }

  /** Who holds the conversation now, when the server says that someone else moved first. */
  get stale(): { epoch: number; holder: Holder } | null {
    if (this.code !== 'stale_epoch') return null
    return this.detail as { epoch: number; holder: Holder }
  }
  /** The request never reached the server, or no answer came back: trying again may help. */
  get offline(): boolean {
    return this.status === 0
  }
}

const base = '/api/v1'
let csrf = ''
let onSignedOut: () => void = () => {}

export function setCsrf(token: string): void {
  csrf = token
}
/** Called when any request learns that the session is over, except the one that asks whether there is one. */
export function whenSignedOut(run: () => void): void {
  onSignedOut = run
}

export type Query = Record<string, string | number | boolean | null | undefined>

export async function request<T>(method: string, path: string, body?: unknown, query?: Query): Promise<T> {
  const url = new URL(base + path, location.origin)
  for (const [key, value] of Object.entries(query ?? {}))
    if (value !== undefined && value !== null && value !== '') url.searchParams.set(key, String(value))

  const headers: Record<string, string> = { accept: 'application/json' }
  if (method !== 'GET') {
    headers['content-type'] = 'application/json'
    if (csrf) headers['x-baton-csrf'] = csrf
  }
  let response: Response
  try {
    response = await fetch(url, {
      method,
      headers,
      credentials: 'same-origin',
      body: method === 'GET' ? undefined : JSON.stringify(body ?? {}),
    })
  } catch {
    throw new ApiError(0, 'offline', '', null, {})
  }
  if (response.status === 204) return undefined as T
  const json: unknown = await response.json().catch(() => null)
  if (response.ok) return json as T
  const error = (json as { error?: Record<string, unknown> } | null)?.error ?? {}
  if (response.status === 401 && !path.startsWith('/auth/')) onSignedOut()
  throw new ApiError(
    response.status,
    String(error['code'] ?? 'internal'),
    String(error['message'] ?? ''),
    (error['field'] as string | undefined) ?? null,
    (error['detail'] as Record<string, unknown> | undefined) ?? {},
  )
}
