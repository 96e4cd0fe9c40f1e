// Fails when the language catalogues and the code disagree: a key missing in or extra to one language, plural forms the
// language needs but lacks, placeholders that differ, a key used in code that no catalogue has, or one that nothing uses.
import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const src = fileURLToPath(new URL('../src/', import.meta.url))
const base = 'en'
const files = readdirSync(join(src, 'i18n')).filter((f) => f.endsWith('.json'))
const catalogues = Object.fromEntries(
  files.map((f) => [f.slice(0, -5), JSON.parse(readFileSync(join(src, 'i18n', f), 'utf8'))]),
)
const problems = []
const keys = Object.keys(catalogues[base])
const placeholders = (value) => {
  const texts = typeof value === 'string' ? [value] : Object.values(value)
  return [...new Set(texts.flatMap((t) => [...t.matchAll(/\{(\w+)\}/g)].map((m) => m[1])))].sort().join(',')
}

for (const [locale, catalogue] of Object.entries(catalogues)) {
  for (const key of keys) {
    const mine = catalogue[key]
    if (mine === undefined) problems.push(`${locale}: missing "${key}"`)
    else if (mine === '' || (typeof mine === 'object' && Object.values(mine).includes('')))
      problems.push(`${locale}: empty "${key}"`)
    else if ((typeof mine === 'object') !== (typeof catalogues[base][key] === 'object'))
      problems.push(`${locale}: "${key}" is a plural in one language only`)
    else if (placeholders(mine) !== placeholders(catalogues[base][key]))
      problems.push(`${locale}: "${key}" has other placeholders (${placeholders(mine)}) than ${base}`)
    if (typeof mine === 'object')
      for (const rule of new Intl.PluralRules(locale).resolvedOptions().pluralCategories)
        if (!(rule in mine)) problems.push(`${locale}: "${key}" lacks the plural form "${rule}"`)
  }
  for (const key of Object.keys(catalogue)) if (!keys.includes(key)) problems.push(`${locale}: extra "${key}"`)
}

const code = readdirSync(src, { recursive: true })
  .filter((f) => /\.(svelte|ts)$/.test(f))
  .map((f) => ({ file: f, text: readFileSync(join(src, f), 'utf8') }))
const literals = new Set()
const prefixes = new Set()
for (const { file, text } of code) {
  for (const m of text.matchAll(/\bt\(\s*(['"])([^'"]+)\1/g))
    if (!keys.includes(m[2])) problems.push(`${file}: uses "${m[2]}", which no catalogue has`)
  for (const m of text.matchAll(/(['"])([a-z][\w.-]*\.[\w.-]+)\1/g)) literals.add(m[2])
  // `reason.${code}` uses every key below "reason."; the type checker verifies that each code has one.
  for (const m of text.matchAll(/`([a-z][\w-]*(?:\.[\w-]+)*\.)\$\{[^`]*`/g)) prefixes.add(m[1])
}
for (const key of keys)
  if (!literals.has(key) && ![...prefixes].some((p) => key.startsWith(p))) problems.push(`"${key}" is used nowhere`)

if (problems.length) {
  console.error(problems.join('\n') + `\n${problems.length} problem(s) in the catalogues`)
  process.exit(1)
}
console.log(`catalogues: ${Object.keys(catalogues).join(', ')}; ${keys.length} keys, all present and used`)
