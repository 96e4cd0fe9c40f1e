/** One place that knows how each holder looks and is called. */
import CircleCheck from '@lucide/svelte/icons/circle-check'
import Hourglass from '@lucide/svelte/icons/hourglass'
import Moon from '@lucide/svelte/icons/moon'
import Sparkles from '@lucide/svelte/icons/sparkles'
import UserRound from '@lucide/svelte/icons/user-round'
import type { Component } from 'svelte'
import { t } from '$/i18n/index.svelte'
import type { Holder } from '$/lib/types'

export type HolderLook = {
  kind: 'assistant' | 'human' | 'queue' | 'snoozed' | 'closed'
  icon: Component
  label: string
  text: string
  tint: string
}

export function lookOf(holder: Holder): HolderLook {
  if (holder.state === 'assistant')
    return { kind: 'assistant', icon: Sparkles, label: t('holder.assistant'), text: 'text-ai', tint: 'bg-ai-bg border-ai-line text-ai' }
  if (holder.state === 'closed') {
    const label = holder.outcome ? t(`holder.closed.${holder.outcome}`) : t('holder.closed')
    return { kind: 'closed', icon: CircleCheck, label, text: 'text-closed', tint: 'bg-closed-bg border-closed-line text-closed' }
  }
  if (holder.snoozed_until)
    return { kind: 'snoozed', icon: Moon, label: t('holder.snoozed'), text: 'text-closed', tint: 'bg-closed-bg border-closed-line text-closed' }
  if (!holder.agent)
    return { kind: 'queue', icon: Hourglass, label: t('holder.waiting'), text: 'text-wait', tint: 'bg-wait-bg border-wait-line text-wait' }
  return { kind: 'human', icon: UserRound, label: holder.agent.name, text: 'text-human', tint: 'bg-human-bg border-human-line text-human' }
}
