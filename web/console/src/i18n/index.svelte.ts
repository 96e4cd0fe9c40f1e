/** Texts of the console. English is bundled (it types the keys); other languages load when chosen. */
import { formatNumber, pickLocale, translate, type Catalogue, type Params } from '$shared/i18n'
import en from './en.json'

export type Key = keyof typeof en
export const locales = ['en', 'id'] as const
export type Locale = (typeof locales)[number]
/** Each language in its own words, as a person looking for theirs would search. */
export const localeNames: Record<Locale, string> = { en: 'English', id: 'Bahasa Indonesia' }

const loaders: Record<Exclude<Locale, 'en'>, () => Promise<{ default: Catalogue }>> = {
  id: () => import('./id.json'),
}
const stored = 'baton.locale'

let current = $state.raw<{ locale: Locale; catalogue: Catalogue }>({ locale: 'en', catalogue: en })

export const locale = (): Locale => current.locale
/** The browser's regional variant of the chosen language ("en-GB"), which decides on clocks and separators. */
export const regional = (): string => navigator.languages.find((tag) => tag.split('-')[0] === current.locale) ?? current.locale
export const t = (key: Key, params?: Params): string => translate(current.catalogue, current.locale, key, params)
/** For codes from the server that may be newer than this build: the known text, or null. */
export const maybe = (key: string, params?: Params): string | null =>
  key in current.catalogue ? translate(current.catalogue, current.locale, key, params) : null
export const number = (value: number, options?: Intl.NumberFormatOptions): string =>
  formatNumber(regional(), value, options)

export function firstLocale(): Locale {
  let remembered: string | null = null
  try {
    remembered = localStorage.getItem(stored)
  } catch {
    // Storage may be forbidden; the browser's languages decide.
  }
  return pickLocale(locales, remembered ? [remembered] : navigator.languages, 'en')
}

export async function setLocale(next: Locale): Promise<void> {
  const catalogue = next === 'en' ? en : (await loaders[next]()).default
  current = { locale: next, catalogue }
  document.documentElement.lang = next
  try {
    localStorage.setItem(stored, next)
  } catch {
    // Remembered on the account as well.
  }
}

export const isLocale = (value: string | null | undefined): value is Locale => locales.some((l) => l === value)
