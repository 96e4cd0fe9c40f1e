/**
 * The little that both surfaces need to speak a language: look-up, plural choice, interpolation, Intl helpers.
 *
 * A catalogue is one flat JSON object. A value is a string, or an object of plural forms keyed as Intl.PluralRules names
 * them ("one", "few", "other" …), chosen by the parameter `count`. `{name}` is replaced by the parameter of that name;
 * numbers are written as the locale writes them.
 */
export type Plural = { other: string } & Partial<Record<Intl.LDMLPluralRule, string>>
export type Catalogue = Record<string, string | Plural>
export type Params = Record<string, string | number>

const pluralRules = new Map<string, Intl.PluralRules>()
const numberFormats = new Map<string, Intl.NumberFormat>()

function cached<T>(store: Map<string, T>, key: string, make: () => T): T {
  let value = store.get(key)
  if (!value) store.set(key, (value = make()))
  return value
}

export function formatNumber(locale: string, value: number, options?: Intl.NumberFormatOptions): string {
  const key = options ? `${locale} ${JSON.stringify(options)}` : locale
  return cached(numberFormats, key, () => new Intl.NumberFormat(locale, options)).format(value)
}

/** The text of `key`. A missing key gives the key itself: visible, never a crash; the build refuses it anyway. */
export function translate(catalogue: Catalogue, locale: string, key: string, params: Params = {}): string {
  const entry = catalogue[key]
  if (entry === undefined) return key
  let text: string
  if (typeof entry === 'string') text = entry
  else {
    const rule = cached(pluralRules, locale, () => new Intl.PluralRules(locale)).select(Number(params['count'] ?? 0))
    text = entry[rule] ?? entry.other
  }
  return text.replace(/\{(\w+)\}/g, (whole, name: string) => {
    const value = params[name]
    if (value === undefined) return whole
    return typeof value === 'number' ? formatNumber(locale, value) : value
  })
}

/** The first wanted language that is offered ("id-ID" is served by "id"), else the fallback. */
export function pickLocale<L extends string>(offered: readonly L[], wanted: readonly string[], fallback: L): L {
  for (const tag of wanted) {
    const exact = offered.find((l) => l.toLowerCase() === tag.toLowerCase())
    if (exact) return exact
    const base = offered.find((l) => l.toLowerCase() === tag.toLowerCase().split('-')[0])
    if (base) return base
  }
  return fallback
}
