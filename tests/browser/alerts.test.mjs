/**
 * Who comes to wait is noticed, by whatever road the news arrives: the socket's frame after a list that was quicker, or no
 * frame at all because the feed had a gap.
 */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { Agent } from './lib/agent.mjs'
import { Baton } from './lib/baton.mjs'
import { openBrowser, person, until } from './lib/browser.mjs'
import { Visitor } from './lib/visitor.mjs'

const unanswerable = 'Can your barista fix the gearbox of my motorcycle tomorrow?'

let baton, browser, ana
/** What becomes of a change told to Ana's console. */
let told = (frame, pass) => pass(frame)

before(async () => {
  baton = await Baton.start(process.env.BATON_TEST_POSTGRES ? 'postgres' : 'sqlite')
  browser = await openBrowser()
  const page = await person(browser)
  await page.routeWebSocket(/\/api\/v1\/live$/, (socket) => {
    const pass = (frame) => socket.send(JSON.stringify(frame))
    socket.connectToServer().onMessage((text) => {
      const frame = JSON.parse(text)
      if (frame.type === 'changed') told(frame, pass)
      else pass(frame)
    })
  })
  ana = new Agent(page, baton, 'ana')
  await ana.signIn()
})

after(async () => {
  await browser?.close()
  await baton?.stop()
})

const inQueue = (frame) => frame.row.holder.state === 'human' && !frame.row.holder.agent
const chimes = () => ana.page.evaluate(() => window.chimes)
/** Two notes. */
const rang = (before) => until(ana.page, (count) => window.chimes === count, before + 2, 'one sound in the workbench')

async function comesToWait() {
  const visitor = new Visitor(await person(browser), baton.console)
  await visitor.open(baton.studio)
  await visitor.say(unanswerable)
  await visitor.notice('handoff_waiting').waitFor()
  return (await visitor.rest()).id
}

test('the list was quicker than the frame', async () => {
  const before = await chimes()
  const held = []
  told = (frame, pass) => (held.length || inQueue(frame) ? held.push(() => pass(frame)) : pass(frame))
  const conversation = await comesToWait()
  await ana.part('tab-unassigned').click()
  await ana.rowIs(conversation, 'queue')
  assert.equal(await chimes(), before, 'the list rings nothing')
  told = (frame, pass) => pass(frame)
  for (const go of held) go()
  await rang(before)
})

test('the frames were lost in a gap of the feed', async () => {
  const before = await chimes()
  await ana.part('tab-mine').click()
  let resync
  told = ({ cursor }, pass) => (resync = () => pass({ type: 'resync', cursor }))
  const conversations = [await comesToWait(), await comesToWait()]
  assert.equal(await chimes(), before, 'nothing was told')
  told = (frame, pass) => pass(frame)
  resync()
  await rang(before)
  await ana.part('tab-unassigned').click()
  for (const conversation of conversations) await ana.rowIs(conversation, 'queue')
  assert.equal(await chimes(), before + 2, 'two who came at once ring once')
  assert.deepEqual(ana.page.problems, [])
})
