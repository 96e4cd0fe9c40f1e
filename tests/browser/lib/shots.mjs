/** Pictures of a screen for people to look at: light and dark, phone and desk. */
import { mkdir } from 'node:fs/promises'
import path from 'node:path'

const folder = path.resolve(import.meta.dirname, '../shots')
const schemes = ['light', 'dark']
const sizes = { 1440: { width: 1440, height: 900 }, 390: { width: 390, height: 844 } }

/** `sizes`: which of the widths; a page that is being watched by keyboard keeps its own size afterwards. */
export async function shoot(page, name, { widths = [1440, 390] } = {}) {
  await mkdir(folder, { recursive: true })
  await eachLook(page, widths, async (look) => {
    await page.screenshot({ path: path.join(folder, `${name}-${look}.png`), animations: 'disabled', caret: 'initial' })
  })
}

/** Runs `look` at each width in each colour scheme, and leaves the page as it was. */
export async function eachLook(page, widths, look) {
  const before = page.viewportSize()
  for (const width of widths) {
    await page.setViewportSize(sizes[width])
    for (const colorScheme of schemes) {
      await page.emulateMedia({ colorScheme })
      await page.evaluate(() => document.fonts.ready.then(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))))
      await look(`${colorScheme}-${width}`)
    }
  }
  await page.setViewportSize(before)
  await page.emulateMedia({ colorScheme: 'light' })
}
