/** What a visitor does and sees in the widget. */
import { until } from './browser.mjs'

export class Visitor {
  constructor(page, origin) {
    this.page = page
    this.origin = new URL(origin).origin
  }

  /** Inside the widget's shadow root; other parts of the page do not count. */
  part(testid) {
    return this.page.locator('baton-widget').getByTestId(testid)
  }

  async open(url) {
    await this.page.goto(url)
    await this.part('launcher').click()
    await this.part('panel').waitFor()
    await this.page.locator('baton-widget .hello').waitFor()
  }

  /** Types and sends; gives the number under which the server stored it. */
  async say(text) {
    const acknowledged = this.page.waitForResponse((r) => r.url().endsWith('/widget/messages') && r.request().method() === 'POST' && r.ok())
    await this.part('composer').pressSequentially(text)
    await this.page.keyboard.press('Enter')
    const { message } = await (await acknowledged).json()
    await this.part('message').and(this.page.locator(`[data-author=visitor][data-seq="${message.public_seq}"]`)).waitFor()
    return message.public_seq
  }

  /** The first message of this author after a number. */
  async hears(author, after) {
    const handle = await until(
      this.page,
      ([author, after]) => {
        const all = [...document.querySelector('baton-widget').shadowRoot.querySelectorAll(`[data-testid=message][data-author=${author}][data-seq]`)]
        const found = all.find((m) => Number(m.dataset.seq) > after)
        if (!found) return null
        const sources = [...found.querySelectorAll('[data-testid=citation]')].map((a) => ({ text: a.querySelector('span').textContent, href: a.href ?? null }))
        return { seq: Number(found.dataset.seq), text: found.querySelector('.bubble').textContent, sources }
      },
      [author, after],
      `the visitor hears the ${author} after ${after}`,
    )
    return handle.jsonValue()
  }

  notice(code) {
    return this.page.locator(`baton-widget [data-testid=notice][data-code=${code}]`)
  }

  /** Waits for words in the strip that says who answers. */
  async status(words) {
    await this.part('status').filter({ hasText: words }).waitFor()
  }

  /** Numbers of all messages and notices on the screen, top to bottom. */
  seqs() {
    return this.page.evaluate(() =>
      [...document.querySelector('baton-widget').shadowRoot.querySelectorAll('[data-testid=messages] [data-seq]')].map((m) => Number(m.dataset.seq)),
    )
  }

  /** Everything the visitor can read in the widget. */
  words() {
    return this.page.evaluate(() => document.querySelector('baton-widget').shadowRoot.textContent)
  }

  /** The conversation as the server tells it to this visitor. */
  rest() {
    return this.page.evaluate(async (origin) => {
      const key = document.querySelector('script[data-inbox]').dataset.inbox
      const { token } = JSON.parse(localStorage.getItem(`baton:${key}:pass`))
      const response = await fetch(`${origin}/api/v1/widget/conversation`, { headers: { authorization: `Bearer ${token}` } })
      return response.json()
    }, this.origin)
  }

  /** Remembers every half-written reply that is drawn, and when it goes. */
  async watchDrafts() {
    await this.page.evaluate(() => {
      const root = document.querySelector('baton-widget').shadowRoot
      window.drafts = []
      const look = () => {
        const text = root.querySelector('[data-testid=draft]')?.textContent ?? ''
        if (text !== (window.drafts.at(-1)?.text ?? '')) window.drafts.push({ text, at: performance.now() })
      }
      new MutationObserver(look).observe(root, { subtree: true, childList: true, characterData: true })
      look()
    })
  }

  drafts() {
    return this.page.evaluate(() => window.drafts)
  }
}
