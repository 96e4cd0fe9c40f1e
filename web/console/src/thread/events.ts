/** What the timeline says about an event. Events that only matter to the machine say nothing. */
import ArrowRightLeft from '@lucide/svelte/icons/arrow-right-left'
import BellRing from '@lucide/svelte/icons/bell-ring'
import CircleCheck from '@lucide/svelte/icons/circle-check'
import CircleSlash from '@lucide/svelte/icons/circle-slash'
import Flag from '@lucide/svelte/icons/flag'
import Hand from '@lucide/svelte/icons/hand'
import Hourglass from '@lucide/svelte/icons/hourglass'
import Moon from '@lucide/svelte/icons/moon'
import RotateCcw from '@lucide/svelte/icons/rotate-ccw'
import Sparkles from '@lucide/svelte/icons/sparkles'
import UserRound from '@lucide/svelte/icons/user-round'
import type { Component } from 'svelte'
import { maybe, t } from '$/i18n/index.svelte'
import { dayAndTime } from '$/lib/format'
import type { HandoffReason, Item } from '$/lib/types'

export type EventLook = { icon: Component; text: string; quote: string | null; tone: string }

export function reasonText(reason: HandoffReason): string {
  const text = maybe(`reason.${reason.code}`) ?? reason.code
  // A condition in the business's own words says more than our word for its kind.
  if (reason.condition && reason.code === 'worded') return reason.condition
  return reason.condition ? t('event.reason_named', { reason: text, condition: reason.condition }) : text
}

const str = (value: unknown): string | null => (typeof value === 'string' && value ? value : null)
const nameIn = (value: unknown): string | null =>
  value && typeof value === 'object' && 'name' in value ? str((value as { name: unknown }).name) : null

export function eventLook(item: Item, agentName: (id: string) => string | undefined): EventLook | null {
  const { kind, data, actor } = item
  const who = actor.kind === 'visitor' ? t('author.visitor') : (actor.name ?? t('author.system'))
  const look = (icon: Component, text: string, tone = 'text-ink-3', quote: string | null = null) => ({ icon, text, tone, quote })
  const byHand = actor.kind === 'agent'

  switch (kind) {
    case 'started':
      return look(Flag, t('event.started'))
    case 'person_requested':
      return look(Hand, t('event.person_requested'), 'text-wait')
    case 'handed_off': {
      const reason = data['reason'] as HandoffReason | undefined
      return look(Hourglass, reason ? t('event.handed_off', { reason: reasonText(reason) }) : t('event.handed_off_plain'), 'text-wait', reason?.evidence ?? null)
    }
    case 'took_over':
      return look(UserRound, t('event.took_over', { name: who }), 'text-human')
    case 'assigned': {
      const name = nameIn(data['agent']) ?? str(data['agent_name']) ?? agentName(str(data['agent_id']) ?? str(data['agent']) ?? '')
      return look(UserRound, name ? t('event.assigned', { name: who, to: name }) : t('event.assigned_plain', { name: who }), 'text-human')
    }
    case 'queued':
      return look(Hourglass, byHand ? t('event.queued_by', { name: who }) : t('event.queued'), 'text-wait')
    case 'returned_to_ai': {
      const note = (item.message?.kind === 'return_note' ? item.message.text : null) ?? str(data['note'])
      const text = byHand ? t('event.returned_by', { name: who }) : t('event.returned')
      return look(Sparkles, note ? t('event.with_note', { text }) : text, 'text-ai', note)
    }
    case 'turn_cancelled':
      return look(CircleSlash, t('event.turn_cancelled'), 'text-ink-3')
    case 'ai_mode_set':
      return look(ArrowRightLeft, t('event.ai_mode', { mode: maybe(`ai_mode.${str(data['mode']) ?? ''}`) ?? '' }))
    case 'snoozed': {
      const until = str(data['until'])
      return look(Moon, until ? t('event.snoozed_until', { name: who, time: dayAndTime(until) }) : t('event.snoozed', { name: who }))
    }
    case 'unsnoozed':
      return look(Moon, t('event.unsnoozed'))
    case 'closed': {
      const outcome = maybe(`event.closed.${str(data['outcome']) ?? ''}`) ?? t('event.closed')
      return look(CircleCheck, byHand ? t('event.by', { text: outcome, name: who }) : outcome, 'text-closed')
    }
    case 'reopened':
      return look(RotateCcw, t('event.reopened', { name: who }))
    case 'contact_blocked':
      return look(CircleSlash, t('event.blocked', { name: who }))
    case 'contact_unblocked':
      return look(CircleSlash, t('event.unblocked', { name: who }))
    case 'alarm_raised':
      return look(BellRing, t('event.alarm_raised'), 'text-danger')
    case 'alarm_acknowledged':
      return look(BellRing, t('event.alarm_acknowledged', { name: who }))
    case 'erased':
      return look(CircleSlash, t('event.erased'))
    default:
      return null
  }
}
