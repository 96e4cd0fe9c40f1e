/** The real binary with the demo workspace, started and killed as a person or a power cut would. */
import { execFile, execFileSync, spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'

const root = path.resolve(import.meta.dirname, '../../..')
const binary = process.env.BATON_BINARY ?? path.join(root, 'target/debug/baton')

const run = promisify(execFile)

// A development build serves web/dist as it lies there: pages older than their sources would be tested in their place.
if (!process.env.BATON_BINARY) {
  try {
    execFileSync('make', ['--question', '--silent', 'web'], { cwd: root, stdio: 'ignore' })
  } catch {
    throw new Error('web/dist is older than its sources: run `make web` first')
  }
}

/** Runs on one data folder, one database and one port, so that a restart is found where the browsers look for it. */
export class Baton {
  #child = null
  #said = ''

  static async start(engine = 'sqlite') {
    const baton = new Baton()
    baton.data = await mkdtemp(path.join(tmpdir(), 'baton-browser-'))
    baton.port = await freePair()
    baton.database = engine === 'postgres' ? await freshPostgres() : `sqlite:${path.join(baton.data, 'baton.db')}`
    await baton.run()
    return baton
  }

  async run() {
    const args = ['demo', '--json', '--port', String(this.port), '--data', this.data, '--database', this.database]
    // Settings of whoever runs the tests are not the server's.
    const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('BATON_')))
    const child = spawn(binary, args, { cwd: this.data, env, stdio: ['ignore', 'pipe', 'pipe'] })
    this.#child = child
    child.stderr.setEncoding('utf8').on('data', (text) => (this.#said += text))
    const line = await new Promise((resolve, reject) => {
      createInterface({ input: child.stdout }).once('line', resolve)
      child.once('error', reject)
      child.once('exit', (code) => reject(new Error(`baton ended with ${code}:\n${this.#said}`)))
    })
    const told = JSON.parse(line)
    const { port } = new URL(told.console)
    if (Number(port) !== this.port) throw new Error(`port ${this.port} was taken`)
    Object.assign(this, told)
  }

  logIn(name) {
    const found = this.log_ins.find((l) => l.email.startsWith(`${name}@`))
    if (!found) throw new Error(`no log-in for ${name}`)
    return found
  }

  /** What the server said on stderr. */
  get said() {
    return this.#said
  }

  /** Without a chance to say goodbye. */
  async kill() {
    const child = this.#child
    if (!child || child.exitCode !== null || child.signalCode !== null) return
    const gone = new Promise((resolve) => child.once('exit', resolve))
    child.kill('SIGKILL')
    await gone
  }

  async stop() {
    await this.kill()
    await rm(this.data, { recursive: true, force: true })
  }
}

/** A new database on the server that BATON_TEST_POSTGRES names; it goes with its throw-away server. */
async function freshPostgres() {
  if (!process.env.BATON_TEST_POSTGRES) throw new Error('BATON_TEST_POSTGRES names no server: run this under tools/with-postgres')
  const url = new URL(process.env.BATON_TEST_POSTGRES)
  const name = `baton_browser_${process.pid}_${Date.now()}`
  await run('psql', ['--no-psqlrc', '--quiet', '--dbname', url.href, '--command', `CREATE DATABASE ${name}`])
  url.pathname = `/${name}`
  return url.href
}

/** A port whose neighbour is free too: the shop listens there. Below the range from which the system gives ports away. */
async function freePair() {
  for (let tries = 0; tries < 50; tries++) {
    const port = 20_000 + Math.floor(Math.random() * 10_000)
    if ((await free(port)) && (await free(port + 1))) return port
  }
  throw new Error('no two free ports beside each other')
}

const free = (port) =>
  new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
