/** Where the person is, kept in the address after "#", so that reload, back and bookmarks work. */
import type { View } from '$/lib/types'

export const stages = ['identity', 'knowledge', 'job', 'conditions', 'test', 'integrate'] as const
export type Stage = (typeof stages)[number]
export type Route =
  | { name: 'welcome'; token: string }
  | { name: 'inbox'; view: View; conversation: string | null }
  | { name: 'setup'; assistant: string | null; stage: Stage }

const views: readonly View[] = ['all', 'unassigned', 'mine']

export function parse(hash: string): Route {
  const [path = '', query = ''] = hash.replace(/^#\/?/, '').split('?')
  const parts = path.split('/').filter(Boolean).map(decodeURIComponent)
  if (parts[0] === 'welcome') return { name: 'welcome', token: new URLSearchParams(query).get('token') ?? '' }
  if (parts[0] === 'setup')
    return { name: 'setup', assistant: parts[1] ?? null, stage: stages.find((s) => s === parts[2]) ?? 'identity' }
  return { name: 'inbox', view: views.find((v) => v === parts[1]) ?? 'all', conversation: parts[2] ?? null }
}

export function href(route: Route): string {
  if (route.name === 'welcome') return `#/welcome?token=${encodeURIComponent(route.token)}`
  if (route.name === 'setup')
    return route.assistant ? `#/setup/${encodeURIComponent(route.assistant)}/${route.stage}` : '#/setup'
  return `#/inbox/${route.view}${route.conversation ? `/${encodeURIComponent(route.conversation)}` : ''}`
}

/** Asked before a screen is left; answers whether that may happen now. May ask the person and call `go` later. */
type Guard = (next: Route) => boolean

class Router {
  route = $state.raw<Route>(parse(location.hash))
  #guard: Guard | null = null
  #shown = location.hash

  constructor() {
    addEventListener('hashchange', () => {
      const next = parse(location.hash)
      if (this.#guard && !this.#guard(next)) {
        history.replaceState(null, '', this.#shown || '#/')
        return
      }
      this.#shown = location.hash
      this.route = next
    })
  }

  go(route: Route): void {
    location.hash = href(route)
  }

  guard(guard: Guard | null): void {
    this.#guard = guard
  }
}

export const router = new Router()
