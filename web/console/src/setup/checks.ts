/** What each stage of the set-up still needs before visitors meet this AI agent. */
import type { Key } from '$/i18n/index.svelte'
import type { Stage } from '$/router.svelte'
import type { Editor } from './editor.svelte'

export type Missing = { key: Key; params?: Record<string, string> }

export function missingIn(editor: Editor, stage: Stage, languageName: (code: string) => string): Missing[] {
  const config = editor.config
  if (!config) return []
  const missing: Missing[] = []
  const need = (ok: boolean, key: Key, params?: Record<string, string>) => {
    if (!ok) missing.push({ key, ...(params ? { params } : {}) })
  }
  const filled = (text: string | undefined) => !!text?.trim()

  if (stage === 'identity') {
    const { identity } = config
    need(filled(identity.name), 'missing.name')
    need(identity.languages.length > 0, 'missing.language')
    for (const code of identity.languages) {
      need(filled(identity.greeting[code]), 'missing.greeting', { language: languageName(code) })
      need(filled(identity.disclosure[code]), 'missing.disclosure', { language: languageName(code) })
    }
  } else if (stage === 'knowledge') {
    const used = editor.bases.filter((base) => config.knowledge_bases.includes(base.id))
    need(used.length > 0, 'missing.base')
    need(!used.length || used.some((base) => base.articles > 0), 'missing.articles')
  } else if (stage === 'job') {
    need(filled(config.job_description), 'missing.job')
  } else if (stage === 'conditions') {
    const { conditions } = config
    need(conditions.asks_for_person, 'missing.asks_for_person')
    need(
      conditions.phrases.every((rule) => filled(rule.name) && rule.phrases.some(filled)) &&
        conditions.worded.every((rule) => filled(rule.name) && filled(rule.text)),
      'missing.rule_text',
    )
  } else if (stage === 'test') {
    need(editor.test.length > 0, 'missing.test')
  } else {
    const connected = editor.inboxes.filter((inbox) => inbox.assistant_id === editor.id)
    need(connected.length > 0, 'missing.inbox')
    need(
      connected.every((inbox) => inbox.allowed_origins.length > 0),
      'missing.origins',
    )
  }
  return missing
}
