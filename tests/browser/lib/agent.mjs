/** What an agent does and sees in the console, by keyboard. */
import assert from 'node:assert/strict'
import { until } from './browser.mjs'

export class Agent {
  constructor(page, baton, name) {
    this.page = page
    this.baton = baton
    this.name = name
  }

  part(testid) {
    return this.page.getByTestId(testid)
  }

  async press(...keys) {
    for (const key of keys) await this.page.keyboard.press(key)
  }

  async type(text) {
    await this.page.keyboard.type(text)
  }

  /** The address field has the cursor when the page opens. */
  async signIn() {
    const { email, password } = this.baton.logIn(this.name)
    await this.page.goto(this.baton.console)
    await this.page.locator('input[name=email]:focus').waitFor()
    await this.type(email)
    await this.press('Tab')
    await this.type(password)
    await this.press('Enter')
    await this.part('tab-all').waitFor()
    await this.part('connection-bar').waitFor({ state: 'detached' })
  }

  row(conversation) {
    return this.page.locator(`[data-testid=conversation-row][data-conversation="${conversation}"]`)
  }

  async rowIs(conversation, state) {
    await this.page.locator(`[data-testid=conversation-row][data-conversation="${conversation}"][data-state=${state}]`).waitFor()
  }

  /** Down the list to a conversation, and into it. */
  async open(conversation) {
    await this.row(conversation).waitFor()
    const rows = await this.part('conversation-row').count()
    for (let steps = 0; steps <= rows; steps++) {
      await this.press('j')
      if (await this.row(conversation).evaluate((row) => row === document.activeElement)) break
    }
    await this.press('Enter')
    await this.page.locator(`[data-testid=thread][data-conversation="${conversation}"] header`).waitFor()
  }

  /** Out of a text field, so that keys are commands again. */
  async leaveField() {
    await this.press('Escape')
    await until(this.page, () => !/^(INPUT|TEXTAREA)$/.test(document.activeElement?.tagName ?? ''))
  }

  async composerHasCursor() {
    await this.page.locator('[data-testid=composer-input]:focus').waitFor()
  }

  line(kind) {
    return this.page.locator(`[data-testid=event-line][data-kind=${kind}]`)
  }

  /** The message with these words, once it is on the server's disk. */
  message(author, words) {
    return this.page.locator(`[data-testid=message][data-author=${author}][data-seq]`).filter({ hasText: words })
  }

  /** Numbers of messages and events on the screen, top to bottom. */
  seqs() {
    return this.page.evaluate(() => [...document.querySelectorAll('[data-testid=thread] ol [data-seq]')].map((m) => Number(m.dataset.seq)))
  }

  async api(method, path, body) {
    const answer = await this.page.evaluate(
      async ([method, path, body]) => {
        const me = await (await fetch('/api/v1/auth/me')).json()
        const headers = method === 'GET' ? {} : { 'content-type': 'application/json', 'x-baton-csrf': me.csrf }
        const response = await fetch(`/api/v1${path}`, { method, headers, ...(body ? { body: JSON.stringify(body) } : {}) })
        const text = await response.text()
        return { status: response.status, body: text ? JSON.parse(text) : null }
      },
      [method, path, body],
    )
    assert.ok(answer.status < 300, `${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`)
    return answer.body
  }

  timeline(conversation) {
    return this.api('GET', `/conversations/${conversation}/timeline?limit=500`).then((page) => page.items)
  }
}
