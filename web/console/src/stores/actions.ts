/**
 * What an agent does to a conversation. Each command names the epoch it was decided on; if someone moved first the server
 * says so, the thread shows who holds the conversation now, and nothing that was typed is lost.
 */
import { t } from '$/i18n/index.svelte'
import { conversations as api } from '$/lib/api'
import { ApiError } from '$/lib/http'
import type { ArtifactKind, Detail, Holder, Outcome } from '$/lib/types'
import { conversations } from './conversations.svelte'
import type { Thread } from './thread.svelte'
import { messageOf, toasts } from './toasts.svelte'
import { workbench } from './workbench.svelte'

/** True when the command went through. */
async function command(thread: Thread, run: () => Promise<Detail>): Promise<boolean> {
  try {
    const detail = await run()
    thread.conflict = null
    thread.applyRow(detail, true)
    void thread.catchUp().catch(() => {})
    conversations.recount()
    return true
  } catch (error) {
    if (!showConflict(thread, error, false)) toasts.error(error)
    return false
  }
}

/** Shows who moved first; false when the failure is of another kind. */
export function showConflict(thread: Thread, error: unknown, unsent: boolean): boolean {
  if (!(error instanceof ApiError) || error.status !== 409) return false
  const { stale } = error
  if (stale) {
    learn(thread, stale.holder, stale.epoch)
    thread.conflict = { holder: stale.holder, at: new Date().toISOString(), unsent }
  } else if (error.code === 'refused' && thread.detail) {
    const closed = error.detail['state'] === 'closed'
    if (!closed && !unsent) return false
    const holder: Holder = closed ? { ...thread.detail.holder, state: 'closed', agent: null, queue: null } : thread.detail.holder
    thread.conflict = { holder, at: new Date().toISOString(), unsent }
  } else return false
  void thread.refresh().catch(() => {})
  return true
}

/** A refusal carries the present holder: use it before the socket brings the same news. */
export function learn(thread: Thread, holder: Holder, epoch: number): void {
  if (thread.detail && epoch >= thread.detail.epoch) thread.applyRow({ ...thread.detail, holder, epoch }, true)
}

export async function takeOver(thread: Thread, fromColleague = false): Promise<boolean> {
  thread.mode = 'reply'
  // Felt at once: the half-written draft goes and the cursor is ready, before the answer is back.
  thread.silence()
  workbench.focusComposer()
  const done = await command(thread, () => api.takeOver(thread.id, fromColleague ? { from_colleague: true } : {}))
  if (!done) thread.unsilence()
  return done
}

const epochOf = (thread: Thread): number => thread.detail?.epoch ?? 0

export async function assignToAi(thread: Thread, note: string): Promise<boolean> {
  const done = await command(thread, () => api.assignToAi(thread.id, note.trim(), epochOf(thread)))
  if (done)
    toasts.show(t('toast.assigned_to_ai'), { action: { label: t('action.undo'), run: () => void takeOver(thread) } })
  return done
}

export async function close(thread: Thread, outcome: Exclude<Outcome, 'timeout'>): Promise<boolean> {
  const done = await command(thread, () => api.close(thread.id, outcome, epochOf(thread)))
  if (done)
    toasts.show(t(`toast.closed.${outcome}`), { action: { label: t('action.undo'), run: () => void reopen(thread) } })
  return done
}

export const reopen = (thread: Thread): Promise<boolean> =>
  command(thread, () => api.reopen(thread.id, epochOf(thread)))

export const returnToQueue = async (thread: Thread): Promise<boolean> => {
  const done = await command(thread, () => api.returnToQueue(thread.id, epochOf(thread)))
  if (done) toasts.show(t('toast.returned'))
  return done
}

export const assign = async (thread: Thread, agent: { id: string; name: string }): Promise<boolean> => {
  const done = await command(thread, () => api.assign(thread.id, agent.id, epochOf(thread)))
  if (done) toasts.show(t('toast.assigned', { name: agent.name }))
  return done
}

export async function makeAssist(thread: Thread, kind: ArtifactKind): Promise<void> {
  try {
    thread.applyArtifact(await api.makeAssist(thread.id, kind))
  } catch (error) {
    toasts.show(messageOf(error), { tone: 'error' })
  }
}
