/** Who holds a conversation, seen from the person at this screen. */
import type { Holder, Named } from './types'

/** The colleague who holds it, if one does. */
export const colleagueOf = (holder: Holder | undefined, me: string): Named | null =>
  holder?.state === 'human' && holder.agent && holder.agent.id !== me ? holder.agent : null

/** The colleague out of whose hands this person may not move it: assigning, returning and closing are refused then. */
export const keptBy = (holder: Holder | undefined, me: string, mayTake: boolean): Named | null =>
  mayTake ? null : colleagueOf(holder, me)
