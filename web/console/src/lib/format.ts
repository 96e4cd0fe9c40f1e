/** Times and names as people read them. All follow the chosen language. */
import { regional, t } from '$/i18n/index.svelte'
import type { ContactLine } from './types'

const formats = new Map<string, Intl.DateTimeFormat>()
function dateFormat(options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  const key = regional() + JSON.stringify(options)
  let format = formats.get(key)
  if (!format) formats.set(key, (format = new Intl.DateTimeFormat(regional(), options)))
  return format
}

const dayOf = (date: Date) => new Date(date.getFullYear(), date.getMonth(), date.getDate()).getTime()
const daysApart = (a: Date, b: Date) => Math.round((dayOf(a) - dayOf(b)) / 86_400_000)

export const clock = (at: string): string => dateFormat({ hour: '2-digit', minute: '2-digit' }).format(new Date(at))
export const fullTime = (at: string): string => dateFormat({ dateStyle: 'full', timeStyle: 'medium' }).format(new Date(at))
export const dayAndTime = (at: string): string => dateFormat({ dateStyle: 'medium', timeStyle: 'short' }).format(new Date(at))
export const dayKey = (at: string): number => dayOf(new Date(at))

/** For a list: the time today, the weekday this week, else the date. */
export function shortTime(at: string, now: number): string {
  const date = new Date(at)
  const days = daysApart(new Date(now), date)
  if (days <= 0) return clock(at)
  if (days < 6) return dateFormat({ weekday: 'short' }).format(date)
  return dateFormat({ day: 'numeric', month: 'short' }).format(date)
}

/** For the line between two days of a thread. */
export function dayLabel(at: string, now: number): string {
  const date = new Date(at)
  const days = daysApart(new Date(now), date)
  if (days === 0) return t('time.today')
  if (days === 1) return t('time.yesterday')
  const sameYear = date.getFullYear() === new Date(now).getFullYear()
  return dateFormat({ weekday: 'long', day: 'numeric', month: 'long', ...(sameYear ? {} : { year: 'numeric' }) }).format(date)
}

/** How long something lasts, ticking: "42s", "3:07", "1h 04m", "2d 3h". */
export function elapsed(from: string, now: number): string {
  const s = Math.max(0, Math.floor((now - Date.parse(from)) / 1000))
  const m = Math.floor(s / 60)
  const h = Math.floor(m / 60)
  const two = (n: number) => String(n).padStart(2, '0')
  if (s < 60) return t('time.seconds', { n: s })
  if (m < 60) return `${m}:${two(s % 60)}`
  if (h < 24) return t('time.hours', { h, m: two(m % 60) })
  return t('time.days', { d: Math.floor(h / 24), h: h % 24 })
}

/** "3 seconds ago" in the language's own short form. */
export function ago(at: string, now: number): string {
  const s = Math.max(0, Math.round((now - Date.parse(at)) / 1000))
  const format = new Intl.RelativeTimeFormat(regional(), { style: 'short', numeric: 'always' })
  if (s < 60) return format.format(-s, 'second')
  if (s < 3600) return format.format(-Math.floor(s / 60), 'minute')
  if (s < 86_400) return format.format(-Math.floor(s / 3600), 'hour')
  return format.format(-Math.floor(s / 86_400), 'day')
}

export const contactName = (contact: ContactLine): string =>
  contact.name?.trim() || contact.email || contact.phone || t('contact.visitor', { code: contact.id.replace(/^con_/, '').slice(-6) })

/** One or two letters that stand for a person; the whole character for scripts without cases. */
export function initials(name: string): string {
  const words = name.trim().split(/\s+/).filter(Boolean)
  const letters = [words[0], words.length > 1 ? words[words.length - 1] : undefined].map((w) => (w ? [...w][0] : ''))
  return letters.join('').toLocaleUpperCase()
}
