/** Colleagues: who can be assigned, who is there. */
import { people } from '$/lib/api'
import type { AgentLine, Presence } from '$/lib/types'
import { session } from './session.svelte'

class Agents {
  items = $state.raw<AgentLine[]>([])
  phase = $state<'idle' | 'loading' | 'ready' | 'error'>('idle')

  async load(): Promise<void> {
    if (this.phase === 'idle' || this.phase === 'error') this.phase = 'loading'
    try {
      this.items = (await people.agents()).items
      this.phase = 'ready'
    } catch {
      this.phase = 'error'
    }
  }

  presence(change: { id: string; presence: Presence }): void {
    this.items = this.items.map((agent) => (agent.id === change.id ? { ...agent, presence: change.presence } : agent))
    if (change.id === session.id) session.presenceChanged(change.presence)
  }

  reset(): void {
    this.items = []
    this.phase = 'idle'
  }
}

export const agents = new Agents()
