/** Who is signed in. */
import { firstLocale, isLocale, setLocale, type Locale } from '$/i18n/index.svelte'
import { auth } from '$/lib/api'
import { forgetDrafts } from '$/lib/drafts'
import { ApiError, setCsrf, whenSignedOut } from '$/lib/http'
import type { Me, Presence, Right } from '$/lib/types'

type Phase = 'loading' | 'out' | 'in' | 'unreachable'

class Session {
  phase = $state<Phase>('loading')
  me = $state.raw<Me | null>(null)
  /** True when a running session ended under the person's hands, so that the sign-in page can say why it appeared. */
  expired = $state(false)

  constructor() {
    whenSignedOut(() => this.ended())
  }

  get id(): string {
    return this.me?.agent.id ?? ''
  }
  can(right: Right): boolean {
    return this.me?.rights.includes(right) ?? false
  }

  async begin(): Promise<void> {
    this.phase = 'loading'
    await setLocale(firstLocale())
    try {
      await this.enter(await auth.me())
    } catch (error) {
      this.phase = error instanceof ApiError && error.status === 401 ? 'out' : 'unreachable'
    }
  }

  async enter(me: Me): Promise<void> {
    this.#take(me)
    if (isLocale(me.agent.locale)) await setLocale(me.agent.locale)
    this.expired = false
    this.phase = 'in'
  }

  ended(): void {
    if (this.phase !== 'in') return
    this.expired = true
    this.#leave()
  }

  async signOut(): Promise<void> {
    await auth.signOut()
    forgetDrafts()
    this.#leave()
  }

  async setPresence(presence: Presence): Promise<void> {
    this.#take(await auth.update({ presence }))
  }

  async setLanguage(locale: Locale): Promise<void> {
    await setLocale(locale)
    this.#take(await auth.update({ locale }))
  }

  /** The server may also change it, for example when the last tab of a person goes away. */
  presenceChanged(presence: Presence): void {
    if (this.me) this.me = { ...this.me, agent: { ...this.me.agent, presence } }
  }

  #take(me: Me): void {
    this.me = me
    setCsrf(me.csrf)
  }
  #leave(): void {
    this.me = null
    setCsrf('')
    this.phase = 'out'
  }
}

export const session = new Session()
