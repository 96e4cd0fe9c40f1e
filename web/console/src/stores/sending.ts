/** Sending what the composer holds: shown at once, confirmed later, never lost, never doubled. */
import { conversations as api } from '$/lib/api'
import type { Mode } from '$/lib/drafts'
import { ApiError } from '$/lib/http'
import type { Message } from '$/lib/types'
import { uuid } from '$/lib/uuid'
import { learn, reopen, showConflict } from './actions'
import { conversations } from './conversations.svelte'
import { session } from './session.svelte'
import type { Pending, Thread } from './thread.svelte'
import { messageOf } from './toasts.svelte'

/** One message after another per thread: the second must not overtake the takeover that the first one is. */
const lines = new WeakMap<Thread, Promise<void>>()

export function send(thread: Thread, mode: Mode): void {
  const text = thread.text(mode).trim()
  if (!text || !thread.detail) return
  const pending: Pending = {
    client_id: uuid(),
    mode,
    text,
    at: new Date().toISOString(),
    epoch: thread.detail.epoch,
    state: 'sending',
    error: '',
    ...(mode === 'reply' && thread.inserted ? { suggestion: thread.inserted } : {}),
  }
  thread.pending = [...thread.pending, pending]
  thread.write(mode, '')
  thread.conflict = null
  if (mode === 'reply' && thread.detail.holder.state === 'assistant') thread.silence()
  enqueue(thread, pending)
}

export function retry(thread: Thread, pending: Pending): void {
  change(thread, pending.client_id, { state: 'sending', error: '', epoch: thread.detail?.epoch ?? pending.epoch })
  const again = thread.pending.find((p) => p.client_id === pending.client_id)
  if (again) enqueue(thread, again)
}

/** Takes a message that could not be sent back into the composer. */
export function edit(thread: Thread, pending: Pending): void {
  remove(thread, pending.client_id)
  giveBack(thread, pending)
}

/** After a refusal because the conversation is closed: the text is in the composer again. */
export async function reopenAndSend(thread: Thread): Promise<void> {
  if (await reopen(thread)) send(thread, 'reply')
}

function enqueue(thread: Thread, pending: Pending): void {
  const before = lines.get(thread) ?? Promise.resolve()
  lines.set(
    thread,
    before.then(() => deliver(thread, pending)).catch(() => {}),
  )
}

async function deliver(thread: Thread, pending: Pending): Promise<void> {
  try {
    const message = await post(thread, pending)
    // The newest state of the row (a takeover by writing moved it) comes by the socket or by the next refusal.
    thread.applyMessage(message)
    remove(thread, pending.client_id)
    conversations.recount()
  } catch (error) {
    if (showConflict(thread, error, pending.mode === 'reply')) {
      remove(thread, pending.client_id)
      giveBack(thread, pending)
    } else {
      change(thread, pending.client_id, { state: 'failed', error: messageOf(error) })
    }
    thread.unsilence()
  }
}

async function post(thread: Thread, pending: Pending): Promise<Message> {
  const { client_id, text, suggestion } = pending
  if (pending.mode === 'note') return api.note(thread.id, { client_id, text })
  const body = { client_id, text, ...(suggestion ? { suggestion } : {}) }
  try {
    return await api.send(thread.id, { ...body, expected_epoch: pending.epoch })
  } catch (error) {
    const stale = error instanceof ApiError ? error.stale : null
    // We moved it ourselves (the message before this one, or another tab of the same person): nobody else is in the way.
    if (stale?.holder.state === 'human' && stale.holder.agent?.id === session.id) {
      learn(thread, stale.holder, stale.epoch)
      return api.send(thread.id, { ...body, expected_epoch: stale.epoch })
    }
    throw error
  }
}

function giveBack(thread: Thread, pending: Pending): void {
  const typed = thread.text(pending.mode)
  thread.write(pending.mode, typed ? `${pending.text}\n\n${typed}` : pending.text)
  if (pending.suggestion) thread.inserted = pending.suggestion
}

function change(thread: Thread, clientId: string, change: Partial<Pending>): void {
  thread.pending = thread.pending.map((p) => (p.client_id === clientId ? { ...p, ...change } : p))
}
function remove(thread: Thread, clientId: string): void {
  thread.pending = thread.pending.filter((p) => p.client_id !== clientId)
}
