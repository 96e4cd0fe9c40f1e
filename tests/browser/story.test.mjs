/**
 * The story: one conversation from an AI's answer to a person and back, seen by a visitor and two agents at once, on the
 * real server. Every step rests on the one before it. On SQLite; story-postgres.test.mjs is the same one on PostgreSQL.
 */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { Agent } from './lib/agent.mjs'
import { Baton } from './lib/baton.mjs'
import { openBrowser, person, until } from './lib/browser.mjs'
import { shoot as shootAs } from './lib/shots.mjs'
import { Visitor } from './lib/visitor.mjs'

const engine = process.env.BATON_TEST_ENGINE ?? 'sqlite'
/** Each engine's story has its own pictures. */
const shoot = (page, name, options) => shootAs(page, engine === 'sqlite' ? name : `${engine}-${name}`, options)

const note = 'Ask Sari before promising money back'
const returnNote = 'Refund approved, answer shipping questions'
const added = ' Your refund is on its way.'

let baton, browser, shopper, visitor, ana, budi
/** The conversation on the studio page. */
let conversation
let failed = false

before(async () => {
  baton = await Baton.start(engine)
  browser = await openBrowser()
  const pages = await Promise.all([1, 2, 3, 4].map(() => person(browser)))
  shopper = new Visitor(pages[0], baton.console)
  visitor = new Visitor(pages[1], baton.console)
  ana = new Agent(pages[2], baton, 'ana')
  budi = new Agent(pages[3], baton, 'budi')
})

after(async () => {
  await browser?.close()
  await baton?.stop()
})

/** A step after a failed one would only tell of that failure again. */
const step = (name, run) =>
  test(name, async (t) => {
    if (failed) return t.skip('an earlier step failed')
    try {
      await run(t)
    } catch (error) {
      failed = true
      console.error(baton.said.slice(-4000))
      for (const [i, who] of [shopper, visitor, ana, budi].entries()) if (who.page.problems.length) console.error(["shopper", "visitor", "ana", "budi"][i], who.page.problems)
      await Promise.allSettled([shopper, visitor, ana, budi].map((who, i) => who.page.screenshot({ path: `shots/failed-${i}.png` })))
      throw error
    }
  })

step('the AI answers from the knowledge base, with its source', async () => {
  await shopper.open(baton.shop)
  assert.match(await shopper.words(), /I'm an AI agent\. You can talk to a person at any time\./)
  await shopper.status('Answered by AI')
  await shoot(shopper.page, '01-greeting')

  const asked = await shopper.say('What time are you open on Sundays?')
  const answer = await shopper.hears('assistant', asked)
  assert.ok(answer.text.length > 60, answer.text)
  assert.ok(answer.sources.length > 0, 'the answer names its source')
  const { href } = answer.sources[0]
  assert.ok(href.startsWith(baton.console), href)
  const source = await shopper.page.context().newPage()
  assert.equal((await source.goto(href)).status(), 200)
  assert.equal(await source.locator('h1').textContent(), answer.sources[0].text.split(' · ')[0])
  await shoot(source, '01-source')
  await source.close()
  await shoot(shopper.page, '01-answer')
})

step('what the knowledge does not hold goes to a person', async () => {
  const asked = await shopper.say('Can your barista fix the gearbox of my motorcycle tomorrow?')
  await shopper.notice('handoff_nobody_online').waitFor()
  await shopper.part('email-form').waitFor()
  assert.equal((await shopper.rest()).state, 'human')
  await shoot(shopper.page, '02-nobody-online')
  await shopper.part('email-form').locator('input').fill('maya@example.org')
  await shopper.page.keyboard.press('Enter')
  await shopper.page.locator('baton-widget').getByText('maya@example.org').waitFor()
  assert.ok(asked)
})

step('a worded condition fires with its evidence, and the workbench lights up', async () => {
  await Promise.all([ana.signIn(), budi.signIn()])
  await visitor.open(baton.studio)
  const first = await visitor.say('How much coffee for a French press?')
  const answer = await visitor.hears('assistant', first)
  assert.ok(answer.sources.length > 0, 'the answer names its source')
  conversation = (await visitor.rest()).id
  await ana.rowIs(conversation, 'assistant')
  const chimes = await ana.page.evaluate(() => window.chimes)
  const title = await ana.page.title()

  await visitor.say('Thanks. I want to cancel my subscription, the last bag never came.')
  await visitor.notice('handoff_waiting').waitFor()
  await visitor.status('Waiting for a person')
  await ana.rowIs(conversation, 'queue')
  await until(ana.page, (before) => window.chimes > before, chimes, 'a sound in the workbench')
  await until(ana.page, (before) => document.title !== before && /^\(\d+\) ● /.test(document.title), title, 'the title tells of it')
  await Promise.all([shoot(visitor.page, '03-waiting'), shoot(ana.page, '03-workbench')])

  await ana.open(conversation)
  const handedOff = ana.line('handed_off')
  await handedOff.filter({ hasText: 'Wants to cancel' }).waitFor()
  assert.match(await handedOff.locator('q').textContent(), /cancel my subscription/)
})

step('the brief and suggestions are there; the agent takes over and answers', async () => {
  const brief = ana.part('brief')
  for (const heading of ['Wants', 'Tried so far', 'Open question', 'Suggested next step']) await brief.getByText(heading, { exact: true }).waitFor()
  assert.match(await brief.textContent(), /cancel/i)
  await ana.part('suggestion').first().waitFor()
  assert.ok((await ana.part('suggestion').first().locator('a').count()) > 0, 'the suggestion names its source')
  await shoot(ana.page, '04-brief')

  await ana.press('t')
  await ana.composerHasCursor()
  await ana.rowIs(conversation, 'human')
  await visitor.status('Ana is answering')
  await visitor.notice('agent_joined').waitFor()

  await ana.leaveField()
  await ana.press('s')
  await ana.composerHasCursor()
  const suggested = await ana.part('composer-input').inputValue()
  assert.ok(suggested.length > 20, suggested)
  await ana.press('End')
  await ana.type(added)
  await shoot(ana.page, '04-suggestion')
  const before = Math.max(...(await visitor.seqs()))
  await ana.press('Enter')
  const heard = await visitor.hears('agent', before)
  assert.match(heard.text, /Your refund is on its way\./)
  await ana.message('agent', added.trim()).waitFor()
  assert.equal(await ana.part('pending').count(), 0)

  await ana.leaveField()
  await ana.press('n')
  await ana.composerHasCursor()
  await ana.type(note)
  await ana.press('Enter')
  await ana.message('agent', note).and(ana.page.locator('[data-kind=note]')).waitFor()
  await Promise.all([shoot(ana.page, '04-note'), shoot(visitor.page, '04-agent')])
})

step('the AI goes on with what the human said in view', async () => {
  await ana.leaveField()
  await ana.press('i')
  await ana.page.locator('[data-testid=assign-note]:focus').waitFor()
  await ana.type(returnNote)
  await shoot(ana.page, '05-assign-to-ai', { widths: [1440] })
  await ana.press('Enter')
  await ana.rowIs(conversation, 'assistant')
  await visitor.notice('returned_to_ai').waitFor()
  await visitor.status('Answered by AI')

  const asked = await visitor.say('How long does shipping to Jakarta take?')
  const answer = await visitor.hears('assistant', asked)
  assert.ok(answer.sources.length > 0, 'the answer names its source')
  const items = await ana.timeline(conversation)
  const answered = items.findLast((item) => item.kind === 'assistant_answered')
  assert.equal(answered.message.public_seq, answer.seq)
  const turn = await ana.api('GET', `/turns/${answered.data.turn}`)
  const prompt = turn.prompt.map((part) => part.content).join('\n')
  assert.ok(prompt.includes(added.trim()), 'the prompt holds what the human said')
  assert.ok(prompt.includes(returnNote), 'the prompt holds what the human left for the AI')
  assert.ok(!prompt.includes(note), 'the private note is for people')
  assert.deepEqual(turn.verdicts.filter((v) => v.fired), [], 'what was said before the return is no evidence')
  assert.equal((await visitor.rest()).state, 'assistant')
  await Promise.all([shoot(visitor.page, '05-ai-again'), shoot(ana.page, '05-workbench')])
})

step('a takeover in the middle of an answer takes the words back', async () => {
  await budi.open(conversation)
  await budi.message('visitor', 'shipping to Jakarta').waitFor()
  await visitor.watchDrafts()
  const asked = await visitor.say('Tell me about water for coffee')
  await until(visitor.page, () => window.drafts.at(-1)?.text.length > 0, null, 'the visitor reads the beginning of an answer')
  await budi.part('ai-draft').waitFor()
  await budi.press('t')
  await budi.composerHasCursor()
  await until(visitor.page, () => window.drafts.at(-1).text === '', null, 'the half-written answer is gone')
  await visitor.status('Budi is answering')
  await until(ana.page, () => !document.querySelector('[data-testid=ai-draft]'))
  await budi.line('turn_cancelled').waitFor()
  // Told to those who only look on, too, without a reload.
  for (const agent of [ana, budi]) await agent.line('turn_cancelled').getByText('The visitor may have read this').waitFor()

  const items = await ana.timeline(conversation)
  const cancelled = items.findLast((item) => item.kind === 'turn_cancelled')
  const read = (await visitor.drafts()).map((d) => d.text).findLast((text) => text)
  assert.equal(items.filter((item) => item.kind === 'assistant_answered' && item.data.turn === cancelled.data.turn).length, 0)
  assert.ok(cancelled.data.read_text.replace(/\s+/g, ' ').includes(read.replace(/\s+/g, ' ').trim().slice(0, 30)), 'agents see what may have been read')
  await shoot(budi.page, '06-taken-over')
  await shoot(visitor.page, '06-draft-gone')
  await budi.type('Soft, filtered water is best. I can tell you more in a class.')
  const before = Math.max(...(await visitor.seqs()))
  await budi.press('Enter')
  await visitor.hears('agent', before)
  assert.equal((await visitor.drafts()).at(-1).text, '', 'no half-written answer came back')
  const kept = (await visitor.rest()).messages.filter((m) => m.public_seq > asked).map((m) => m.author.kind)
  assert.deepEqual(kept, ['system', 'agent'], 'nothing of it was kept for the visitor')
})

step('a closed conversation has a summary and reopens to whom the policy names', async () => {
  await budi.leaveField()
  await budi.press('e')
  await budi.page.locator('[role=menu]').waitFor()
  await budi.page.locator('[data-testid=close-solved]:focus').waitFor()
  await budi.press('Enter')
  await visitor.status('Conversation closed')
  await budi.part('summary').locator('time, p').first().waitFor()
  await until(budi.page, () => document.querySelector('[data-testid=summary]')?.textContent.length > 80, null, 'a summary')
  await Promise.all([shoot(budi.page, '07-closed'), shoot(visitor.page, '07-closed-visitor')])

  // As the demo is set up: to the AI.
  const asked = await visitor.say('One more thing: how do I store my coffee beans?')
  await visitor.status('Answered by AI')
  await visitor.hears('assistant', asked)

  // By another policy: to the person who held it last.
  const { items } = await sari((agent) => agent.api('GET', '/inboxes'))
  const studio = items.find((inbox) => inbox.name === 'Brew Studio')
  await sari((agent) => agent.api('PATCH', `/inboxes/${studio.id}`, { reopen_to: 'last_human' }))
  await budi.rowIs(conversation, 'assistant')
  await budi.press('e')
  await budi.page.locator('[data-testid=close-solved]:focus').waitFor()
  await budi.press('Enter')
  await visitor.status('Conversation closed')
  await visitor.say('Sorry, and are you open on Sunday?')
  await visitor.status('Budi is answering')
  await budi.rowIs(conversation, 'human')
  await sari((agent) => agent.api('PATCH', `/inboxes/${studio.id}`, { reopen_to: 'assistant' }))
})

step('kill -9 in the middle loses nothing and doubles nothing', async () => {
  await budi.press('i')
  await budi.page.locator('[data-testid=assign-note]:focus').waitFor()
  await budi.press('Enter')
  await visitor.status('Answered by AI')
  await budi.rowIs(conversation, 'assistant')
  await until(visitor.page, () => document.querySelector('baton-widget').shadowRoot.querySelectorAll('[data-code=returned_to_ai]').length === 2)
  await budi.line('returned_to_ai').nth(1).waitFor()
  const seen = { visitor: await visitor.seqs(), budi: await budi.seqs() }

  const asked = await visitor.say('What are your opening hours?')
  await baton.kill()
  await visitor.part('composer').pressSequentially('And how do I descale the Kawah One?')
  await visitor.page.keyboard.press('Enter')
  await visitor.part('offline-bar').filter({ hasText: 'No connection' }).waitFor()
  await budi.part('connection-bar').waitFor()
  await Promise.all([shoot(visitor.page, '08-offline-visitor'), shoot(budi.page, '08-offline')])
  await baton.run()

  await budi.part('connection-bar').waitFor({ state: 'detached', timeout: 40_000 })
  const answer = await visitor.hears('assistant', asked)
  await visitor.part('message').and(visitor.page.locator('[data-author=visitor]')).filter({ hasText: 'And how do I descale the Kawah One?' }).and(visitor.page.locator('[data-seq]')).waitFor()
  // The second question may come while the first is being answered: what was read of an answer is finished, then it is its turn.
  let items = await budi.timeline(conversation)
  for (let last = answer.seq; answersTo(items).includes(0); items = await budi.timeline(conversation)) last = (await visitor.hears('assistant', last)).seq
  const newest = items.findLast((item) => item.message?.public_seq).message.public_seq
  await until(visitor.page, (last) => {
    const all = [...document.querySelector('baton-widget').shadowRoot.querySelectorAll('[data-testid=message]')]
    return all.at(-1).dataset.seq === String(last) && all.every((m) => m.dataset.seq)
  }, newest, 'the visitor has all answers')

  await until(budi.page, (last) => [...document.querySelectorAll('[data-testid=thread] [data-testid=message]')].at(-1)?.dataset.seq === String(last), items.findLast((i) => i.message).seq)
  const stored = items.filter((i) => i.message?.public_seq).map((i) => i.message.public_seq)
  const now = { visitor: await visitor.seqs(), budi: await budi.seqs() }
  assert.deepEqual(stored, stored.map((_, i) => i + 1), 'the server has every number once')
  assert.deepEqual(now.visitor, stored, 'the visitor has every number once')
  assert.deepEqual(now.visitor.slice(0, seen.visitor.length), seen.visitor)
  assert.deepEqual(now.budi.slice(0, seen.budi.length), seen.budi)
  assert.deepEqual(now.budi, [...new Set(now.budi)].sort((a, b) => a - b), 'the agent has nothing twice and all in order')
  const answers = new Map()
  for (const item of items) if (item.kind === 'assistant_answered') answers.set(item.data.turn, (answers.get(item.data.turn) ?? 0) + 1)
  assert.deepEqual([...answers.values()].filter((n) => n !== 1), [], 'every turn ran once')
  assert.deepEqual(answersTo(items), [1, 1], 'each question is answered once')
  assert.ok(answer.text)
  // A reload shows the same.
  await visitor.page.reload()
  await visitor.part('panel').waitFor()
  await until(visitor.page, (n) => document.querySelector('baton-widget').shadowRoot.querySelectorAll('[data-testid=messages] [data-seq]').length >= n, stored.length)
  assert.deepEqual(await visitor.seqs(), stored)
  await Promise.all([shoot(visitor.page, '08-back-visitor'), shoot(budi.page, '08-back')])
})

step('kill -9 in the middle of an answer takes the words back and says them again once', async () => {
  await visitor.watchDrafts()
  const asked = await visitor.say('Tell me about water for coffee')
  await until(visitor.page, () => window.drafts.at(-1)?.text.length > 0, null, 'the visitor reads the beginning of an answer')
  await baton.kill()
  await visitor.part('offline-bar').filter({ hasText: 'No connection' }).waitFor()
  await baton.run()
  const answer = await visitor.hears('assistant', asked)
  await until(visitor.page, () => window.drafts.at(-1).text === '', null, 'the half-written answer is gone')
  const { messages } = await visitor.rest()
  assert.deepEqual(messages.filter((m) => m.public_seq > asked).map((m) => m.author.kind), ['assistant'])
  assert.deepEqual(await visitor.seqs(), messages.map((m) => m.public_seq))
  assert.equal(answer.seq, asked + 1)
  await budi.part('connection-bar').waitFor({ state: 'detached', timeout: 40_000 })
  await until(budi.page, () => [...document.querySelectorAll('[data-testid=thread] [data-testid=message]')].at(-1)?.dataset.author === 'assistant')
})

step('the visitor never got what is private', async () => {
  const told = await visitor.rest()
  const got = [await visitor.words(), JSON.stringify(told), ...visitor.page.frames_in].join('\n')
  assert.ok(!got.includes(note))
  // The AI may say what it was told to; the note itself is no message to the visitor.
  assert.ok(!told.messages.some((m) => m.text === returnNote))
  for (const who of [shopper, visitor, ana, budi]) assert.deepEqual(who.page.problems, [])
})

/** How many answers each message has got that the visitor wrote since the conversation was last given back to the AI. */
function answersTo(items) {
  const answered = items.filter((i) => i.kind === 'assistant_answered').map((i) => i.data.answers)
  const returned = items.findLast((i) => i.kind === 'returned_to_ai').seq
  const written = items.filter((i) => i.kind === 'visitor_wrote' && i.seq > returned)
  return written.map(({ seq }) => answered.filter(([first, last]) => first <= seq && seq <= last).length)
}

/** The owner, for what only an owner may set. */
let owner
async function sari(run) {
  if (!owner) {
    owner = new Agent(await person(browser), baton, 'sari')
    await owner.signIn()
  }
  return run(owner)
}
