/** Texts, times and days in the visitor's language. A language is one file; a missing key does not compile. */
import { language, texts } from "./locales/chosen.ts";
import type { Texts } from "./locales/en.ts";

export type Key = keyof Texts;

export interface Words {
  locale: string;
  t(key: Key, values?: Record<string, string | number>): string;
  time(at: Date): string;
  /** "today", "yesterday" or the date. */
  day(at: Date, now: Date): string;
}

/** `wanted` may be any language tag: times are written as it says if the texts are in its language ("en-GB" is). */
export function words(wanted: string): Words {
  let locale = wanted.toLowerCase().split("-")[0] === language ? wanted : language;
  try {
    Intl.getCanonicalLocales(locale);
  } catch {
    locale = language;
  }
  const clock = new Intl.DateTimeFormat(locale, { hour: "numeric", minute: "2-digit" });
  const date = new Intl.DateTimeFormat(locale, { weekday: "long", day: "numeric", month: "long" });
  const near = new Intl.RelativeTimeFormat(locale, { numeric: "auto" });
  return {
    locale,
    t: (key, values = {}) => texts[key].replace(/\{(\w+)\}/g, (_, name: string) => String(values[name] ?? "")),
    time: (at) => clock.format(at),
    day(at, now) {
      const midnight = (d: Date) => new Date(d.getFullYear(), d.getMonth(), d.getDate()).getTime();
      const ago = Math.round((midnight(now) - midnight(at)) / 86_400_000);
      const text = ago === 0 || ago === 1 ? near.format(-ago, "day") : date.format(at);
      return text[0]!.toLocaleUpperCase(locale) + text.slice(1);
    },
  };
}
