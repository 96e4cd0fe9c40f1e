/** Every screen, in light and dark, on a desk and on a phone: axe finds nothing. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { Agent } from './lib/agent.mjs'
import { clean } from './lib/axe.mjs'
import { Baton } from './lib/baton.mjs'
import { openBrowser, person } from './lib/browser.mjs'
import { shoot } from './lib/shots.mjs'
import { Visitor } from './lib/visitor.mjs'

const stages = ['identity', 'knowledge', 'job', 'conditions', 'test', 'integrate']

let baton, browser, visitor, sari

before(async () => {
  baton = await Baton.start()
  browser = await openBrowser()
  visitor = new Visitor(await person(browser), baton.console)
  sari = new Agent(await person(browser), baton, 'sari')
})

after(async () => {
  await browser?.close()
  await baton?.stop()
})

/** A screen is looked at by people and by axe. */
async function look(page, name, options) {
  await shoot(page, `screen-${name}`, options)
  await clean(page, name, options)
}

test('the shop, its help centre and the widget', async () => {
  const { page } = visitor
  await page.goto(`${baton.shop}id.html`)
  await visitor.part('launcher').waitFor()
  await look(page, 'shop-id')
  await page.goto(new URL('/help', baton.console).href)
  await look(page, 'help')
  await visitor.open(baton.shop)
  await look(page, 'widget-open')
  await visitor.say('How do I store my coffee beans?')
  await visitor.hears('assistant', 1)
  await visitor.part('talk-to-person').click()
  await visitor.part('email-form').waitFor()
  await look(page, 'widget-waiting')
  await visitor.part('close-panel').click()
  await look(page, 'shop')
})

test('the reference', async () => {
  const page = await person(browser)
  await page.goto(baton.reference)
  await page.locator('h1').waitFor()
  await look(page, 'reference')
  assert.deepEqual(page.problems, [])
  await page.close()
})

test('signing in, and an empty inbox', async () => {
  const { page } = sari
  await page.goto(baton.console)
  await page.locator('input[name=email]:focus').waitFor()
  await look(page, 'sign-in')
  await page.locator('input[name=email]').fill('nobody@example.org')
  await page.locator('input[name=password]').fill('not the password')
  await page.keyboard.press('Enter')
  await page.locator('form [role=alert]').waitFor()
  await look(page, 'sign-in-refused', { widths: [390] })
  await page.reload()
  await sari.signIn()
  await sari.press('g', 'm')
  await page.getByText('You hold no conversations').waitFor()
  await look(page, 'inbox-empty')
})

test('the inbox with a conversation', async () => {
  const { page } = sari
  await sari.press('g', 'a')
  const { id } = await visitor.rest()
  await sari.rowIs(id, 'queue')
  await look(page, 'inbox-list')
  await sari.open(id)
  await sari.part('brief').getByText('Wants', { exact: true }).waitFor()
  await look(page, 'inbox-thread')
  // The panel is a screen of its own on a phone.
  await page.setViewportSize({ width: 390, height: 844 })
  await page.getByRole('button', { name: 'Show details' }).click()
  await sari.part('brief').waitFor()
  await look(page, 'inbox-panel', { widths: [390] })
  await sari.press('Escape')
  await page.setViewportSize({ width: 1440, height: 900 })
})

test('dialogs and menus', async () => {
  const { page } = sari
  await sari.press('?')
  await page.getByRole('dialog').waitFor()
  await look(page, 'shortcuts')
  await sari.press('Escape')
  await page.getByRole('dialog').waitFor({ state: 'detached' })
  await sari.press('Control+k')
  await page.getByRole('dialog').waitFor()
  await look(page, 'palette')
  await sari.press('Escape')
  await page.getByRole('dialog').waitFor({ state: 'detached' })
  await sari.press('a')
  await page.getByRole('dialog').getByText('Budi').waitFor()
  await look(page, 'assign')
  await sari.press('Escape')
  await page.getByRole('dialog').waitFor({ state: 'detached' })
  await page.getByRole('button', { name: 'Why this answer?' }).click()
  await page.getByRole('dialog').getByText('Passages').waitFor()
  await look(page, 'explain')
  await sari.press('Escape')
  await page.getByRole('dialog').waitFor({ state: 'detached' })
})

test('setting up an AI agent', async () => {
  const { page } = sari
  await page.goto(`${baton.console}#/setup`)
  await page.getByRole('link', { name: /Mira/ }).first().waitFor()
  await look(page, 'setup')
  await page.getByRole('link', { name: /Mira/ }).first().click()
  await page.waitForURL(/#\/setup\/ast_/)
  const assistant = page.url().split('/').at(-2)
  for (const stage of stages) {
    await page.goto(`${baton.console}#/setup/${assistant}/${stage}`)
    await page.locator('main h2, main h1').first().waitFor()
    await page.locator('[aria-busy=true]').first().waitFor({ state: 'detached' })
    if (stage === 'test') {
      await page.getByRole('textbox', { name: 'Write as a visitor' }).fill('How do I store my coffee beans?')
      await page.keyboard.press('Enter')
      await page.getByText('Takeover conditions').nth(1).waitFor()
    }
    await look(page, `setup-${stage}`)
  }
  assert.deepEqual(page.problems, [])
})
