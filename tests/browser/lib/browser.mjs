/** A real Chromium with a fresh profile, and one context for each person. */
import { execFileSync } from 'node:child_process'
import { chromium } from 'playwright-core'

const args = [
  '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync',
]
/** A step of a person: generous for a busy machine, far too long for a person. */
const patience = 20_000

export async function openBrowser() {
  const executablePath = process.env.CHROMIUM ?? execFileSync('which', ['chromium'], { encoding: 'utf8' }).trim()
  return chromium.launch({ executablePath, args })
}

/** A person at a browser of their own: no cookie, storage or socket is shared with anybody. */
export async function person(browser, options = {}) {
  const context = await browser.newContext({
    viewport: { width: 1440, height: 900 },
    locale: 'en-GB',
    timezoneId: 'Asia/Jakarta',
    reducedMotion: 'reduce',
    ...options,
  })
  context.setDefaultTimeout(patience)
  await context.addInitScript(countChimes)
  const page = await context.newPage()
  page.problems = []
  page.on('pageerror', (error) => page.problems.push(`${error}`))
  page.on('console', (message) => {
    if (message.type() === 'error' && !expected(message)) page.problems.push(`${message.text()} ${message.location().url}`)
  })
  page.on('response', async (response) => {
    if (response.status() >= 500) page.problems.push(`${response.url()}: ${await response.text().catch(String)}`)
  })
  // Every frame that reached this browser, whatever its page made of it.
  page.frames_in = []
  page.on('websocket', (socket) => socket.on('framereceived', (frame) => page.frames_in.push(String(frame.payload))))
  return page
}

/** The network may fail when a test takes it away, and nobody is signed in at first; anything else is a fault. */
const expected = (message) => /ERR_CONNECTION_REFUSED|ERR_INTERNET_DISCONNECTED|WebSocket connection|ERR_CONNECTION_RESET|ERR_EMPTY_RESPONSE|ERR_SOCKET_NOT_CONNECTED/.test(message.text()) ||
  (message.text().includes('401') && /\/auth\/(me|sign-in)$/.test(message.location().url))

function countChimes() {
  window.chimes = 0
  const make = AudioContext.prototype.createOscillator
  AudioContext.prototype.createOscillator = function () {
    window.chimes++
    return make.call(this)
  }
}

/** Waits until `ask` gives something truthy in the page; checked at every drawing, so nothing short is missed. */
export const until = (page, ask, arg, what = String(ask)) =>
  page.waitForFunction(ask, arg, { timeout: patience }).catch((error) => {
    throw new Error(`never came true: ${what}\n${error.message}`)
  })
