/** axe-core in the page: WCAG 2.2 A and AA, and what the widget's shadow root holds. */
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { eachLook } from './shots.mjs'

const source = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
const tags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']

/** Finds nothing in any look of the page, else says what and where. */
export async function clean(page, name, { widths = [1440, 390], look } = {}) {
  // Evaluated by the debugger: a page's content security policy forbids scripts from elsewhere, and rightly.
  if (!(await page.evaluate(() => 'axe' in window))) await page.evaluate(source)
  const found = []
  await eachLook(page, widths, async (variant) => {
    await look?.(variant)
    const { violations } = await page.evaluate((tags) => window.axe.run(document, { runOnly: { type: 'tag', values: tags }, resultTypes: ['violations'] }), tags)
    for (const violation of violations)
      for (const node of violation.nodes) found.push(`${name} ${variant}: ${violation.id} at ${node.target.flat().join(' ')}: ${node.failureSummary.replace(/\s+/g, ' ')}\n    ${node.html.slice(0, 200)}`)
  })
  assert.equal(found.length, 0, `\n${found.join('\n')}`)
}
