/** Every command of the workbench, once: the keys, the palette and the shortcut list all read from here. */
import { t, type Key } from '$/i18n/index.svelte'
import { colleagueOf, keptBy } from '$/lib/holding'
import type { View } from '$/lib/types'
import { router } from '$/router.svelte'
import * as actions from '$/stores/actions'
import { conversations } from '$/stores/conversations.svelte'
import { session } from '$/stores/session.svelte'
import { threads } from '$/stores/threads.svelte'
import { workbench } from '$/stores/workbench.svelte'

export type Command = {
  id: string
  group: 'conversation' | 'move' | 'app'
  label: Key
  /** Keys pressed one after another, by a space; a single press otherwise. */
  keys?: string
  when?: () => boolean
  run: () => void
  /** Moving the focus makes no sense from the palette, which takes it back when it closes. */
  keyOnly?: boolean
}

const thread = () => threads.current
const state = () => (thread()?.phase === 'ready' ? thread()?.detail?.holder.state : undefined)
const inbox = () => router.route.name === 'inbox'
const held = () => state() === 'assistant' || state() === 'human'
const byColleague = () => !!colleagueOf(thread()?.detail?.holder, session.id)
/** Whether this person may move the conversation out of its holder's hands. */
const movable = () => !keptBy(thread()?.detail?.holder, session.id, session.can('take_from_colleague'))

const rows = () => [...document.querySelectorAll<HTMLElement>('[data-testid=conversation-row]')]
function step(by: 1 | -1): void {
  const all = rows()
  const focused = all.indexOf(document.activeElement as HTMLElement)
  const open = all.findIndex((row) => row.dataset['conversation'] === thread()?.id)
  const from = focused >= 0 ? focused : open
  const next = all[from < 0 ? 0 : Math.min(all.length - 1, Math.max(0, from + by))]
  next?.focus()
  next?.scrollIntoView({ block: 'nearest' })
}
const goView = (view: View) => router.go({ name: 'inbox', view, conversation: thread()?.id ?? null })

function compose(mode: 'reply' | 'note'): void {
  const current = thread()
  if (!current) return
  current.mode = mode
  workbench.focusComposer()
}

export function backToList(): void {
  const id = thread()?.id
  router.go({ name: 'inbox', view: conversations.view, conversation: null })
  setTimeout(() => {
    const all = rows()
    ;(all.find((row) => row.dataset['conversation'] === id) ?? all[0])?.focus()
  })
}

export function openPalette(): void {
  workbench.paletteText = ''
  workbench.palette = true
}

/** The first suggestion that was not dismissed; its own button knows how to insert it. */
const firstSuggestion = () => document.querySelector<HTMLElement>('[data-testid=suggestion-insert]')

export const commands: Command[] = [
  { id: 'next', group: 'move', label: 'command.next', keys: 'j', when: inbox, run: () => step(1), keyOnly: true },
  { id: 'previous', group: 'move', label: 'command.previous', keys: 'k', when: inbox, run: () => step(-1), keyOnly: true },
  {
    id: 'open', group: 'move', label: 'command.open', keys: 'Enter', keyOnly: true,
    // A focused row is a link and opens by itself.
    when: () => false, run: () => {},
  },
  { id: 'list', group: 'move', label: 'command.list', keys: 'u', when: () => !!thread(), run: backToList },
  { id: 'all', group: 'move', label: 'command.all', keys: 'g a', run: () => goView('all') },
  { id: 'unassigned', group: 'move', label: 'command.unassigned', keys: 'g u', run: () => goView('unassigned') },
  { id: 'mine', group: 'move', label: 'command.mine', keys: 'g m', run: () => goView('mine') },
  {
    id: 'setup', group: 'move', label: 'command.setup', keys: 'g s', when: () => session.can('configure'),
    run: () => router.go({ name: 'setup', assistant: null, stage: 'identity' }),
  },
  {
    id: 'filter', group: 'move', label: 'command.filter', keys: '/', when: inbox, keyOnly: true,
    run: () => document.querySelector<HTMLElement>('[data-filter]')?.focus(),
  },

  { id: 'reply', group: 'conversation', label: 'command.reply', keys: 'r', when: () => !!state(), run: () => compose('reply') },
  { id: 'note', group: 'conversation', label: 'command.note', keys: 'n', when: () => !!state(), run: () => compose('note') },
  {
    id: 'take', group: 'conversation', label: 'command.take_over', keys: 't', when: () => held() && thread()?.detail?.holder.agent?.id !== session.id,
    run: () => {
      const current = thread()
      if (!current) return
      if (!byColleague()) void actions.takeOver(current)
      else if (session.can('take_from_colleague')) workbench.takeFrom = true
    },
  },
  { id: 'ai', group: 'conversation', label: 'command.assign_to_ai', keys: 'i', when: () => state() === 'human' && movable(), run: () => (workbench.assignToAi = true) },
  { id: 'assign', group: 'conversation', label: 'command.assign', keys: 'a', when: () => held() && movable(), run: () => (workbench.assign = true) },
  {
    id: 'queue', group: 'conversation', label: 'command.return_to_queue', when: () => state() === 'human' && !!thread()?.detail?.holder.agent && movable(),
    run: () => thread() && void actions.returnToQueue(thread()!),
  },
  { id: 'close', group: 'conversation', label: 'command.close', keys: 'e', when: () => held() && movable(), run: () => (workbench.close = true) },
  { id: 'reopen', group: 'conversation', label: 'command.reopen', keys: 'o', when: () => state() === 'closed', run: () => thread() && void actions.reopen(thread()!) },
  { id: 'suggestion', group: 'conversation', label: 'command.suggestion', keys: 's', when: () => !!firstSuggestion(), run: () => firstSuggestion()?.click() },
  { id: 'summary', group: 'conversation', label: 'command.summary', when: () => !!state(), run: () => thread() && void actions.makeAssist(thread()!, 'summary') },

  { id: 'palette', group: 'app', label: 'palette.title', keys: 'Mod K', keyOnly: true, run: openPalette },
  { id: 'help', group: 'app', label: 'help.title', keys: '?', run: () => (workbench.help = true) },
  { id: 'escape', group: 'app', label: 'command.escape', keys: 'Esc', keyOnly: true, when: () => false, run: () => {} },
]

export const labelOf = (command: Command): string => t(command.label)
