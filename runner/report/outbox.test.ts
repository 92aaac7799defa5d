import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { systemClock } from '../../lib/clock.ts'
import { createDispatcher, createSend } from '../../lib/http.ts'
import { createLog, type Log } from '../../lib/log.ts'
import { createPeer } from '../../lib/peer.ts'
import { openSpill } from '../../lib/spill.ts'
import { fixture } from '../../model/wire/fixtures.ts'
import { parseExecutionData } from '../../model/wire/kserver.ts'
import { type SpawnedServer, spawnServer, testAccessKey } from '../../server/spawned.ts'
import { Recorder } from '../../test-e2e/recorder/recorder.ts'
import { fetchRun, kserverClient, kserverPeer } from './kserver.ts'
import { createReporter, type Reporter } from './outbox.ts'
import type { Snapshot } from './snapshot.ts'

// processes are started here, perhaps on a busy machine
vi.setConfig({ testTimeout: 60_000 })

const scope = {
  environmentIdentifier: 'test',
  accountIdentifier: 'account',
  organizationIdentifier: 'default',
  projectIdentifier: 'demo',
}
const published = JSON.parse(fixture('kserver-task-response.request.json'))
const infra = published.infraId as string
const soon = () => AbortSignal.timeout(15_000)

function snapshot(run: string, seq: number, over: Partial<Snapshot> = {}): Snapshot {
  const completed = over.completed ?? false
  const data = JSON.parse(published.args.executionData)
  data.eventType = over.create ? 'CREATE' : 'UPDATE'
  data.message = `state ${seq}`
  const executionData = JSON.stringify(data)
  const args = {
    ...published.args,
    completed: String(completed),
    executionData,
    workflowRunID: run,
  }
  const body = JSON.stringify({ ...published, args })
  return { run, infra, scope, seq, create: false, completed, body, ...over }
}

let dir: string
let recorder: Recorder
let said: string[]
let log: Log
const open: Reporter[] = []
const dispatcher = createDispatcher()

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'outbox-'))
  recorder = new Recorder(join(dir, 'recorded'))
  await recorder.listen(0)
  said = []
  log = createLog({ program: 'test', level: 'debug' }, { write: (line) => void said.push(line) })
})
afterEach(async () => {
  const now = AbortSignal.abort(new Error('the test is over'))
  for (const reporter of open.splice(0)) await reporter.stop(now)
  await recorder.stop()
  rmSync(dir, { recursive: true })
})

type Options = {
  baseUrl?: string
  spill?: string
  spillBytes?: number
  maxMemoryBytes?: number
  deadlineMs?: number
}

function clientFor(options: Options) {
  const baseUrl = options.baseUrl ?? `${recorder.url}/chaos/kserver/api`
  const send = createSend(dispatcher, { deadlineMs: options.deadlineMs ?? 300 })
  return kserverClient({ baseUrl, accessKey: testAccessKey }, { send, clock: systemClock })
}
function reporterWith(options: Options = {}): Reporter {
  const client = clientFor(options)
  const quick = { ...kserverPeer, minMs: 5, maxMs: 20, forbiddenMs: 20 }
  const reporter = createReporter({
    peer: createPeer(quick, { clock: systemClock, random: Math.random, log }),
    post: ({ infra, scope, body }, signal) =>
      client.report({ params: { infra }, query: { ...scope }, body }, signal),
    ...(options.spill ? { spill: openSpill(options.spill, options.spillBytes ?? 1e6) } : {}),
    maxMemoryBytes: options.maxMemoryBytes ?? 1e6,
    log,
  })
  open.push(reporter)
  return reporter
}
/** Messages of the snapshots that were answered with success, in the order of arrival. */
const arrived = (run: string): string[] =>
  recorder
    .requests('/task/response/')
    .filter(({ answered }) => answered === '200')
    .map(({ n }) => JSON.parse(recorder.body(n).toString()))
    .filter(({ args }) => args.workflowRunID === run)
    .map(({ args }) => {
      const { eventType, message } = parseExecutionData(args.executionData)
      return `${eventType} ${message}${args.completed === 'true' ? ' completed' : ''}`
    })

describe('a peer that answers', () => {
  it('gets the bytes as they were offered, with key and scope', async () => {
    const reporter = reporterWith()
    const first = snapshot('r1', 1, { create: true })
    reporter.offer(first)
    await reporter.idle('r1', soon())
    const [request] = recorder.requests()
    expect(request?.url).toBe(
      `/chaos/kserver/api/infra/v2/task/response/${infra}?environmentIdentifier=test&accountIdentifier=account&organizationIdentifier=default&projectIdentifier=demo`,
    )
    expect(recorder.body(1).toString()).toBe(first.body)
    const headers = Object.fromEntries(
      (request?.headers ?? []).map(([name, value]) => [name.toLowerCase(), value]),
    )
    expect(headers).toMatchObject({
      'x-access-key': testAccessKey,
      'content-type': 'application/json',
      accept: 'application/json',
    })
    expect(reporter.state('r1')).toBe('delivered')
  })

  it('never sees an older state after a newer one', async () => {
    const reporter = reporterWith()
    reporter.offer(snapshot('r1', 1, { create: true }))
    for (let seq = 2; seq < 40; seq++) {
      reporter.offer(snapshot('r1', seq))
      if (seq % 7 === 0) await new Promise((resolve) => setTimeout(resolve, 2))
    }
    await reporter.idle('r1', soon())
    reporter.offer(snapshot('r1', 12))
    await reporter.idle('r1', soon())
    reporter.offer(snapshot('r1', 40, { completed: true }))
    reporter.offer(snapshot('r1', 41))
    await reporter.idle('r1', soon())
    const seen = arrived('r1')
    expect(seen[0]).toBe('CREATE state 1')
    expect(seen.at(-1)).toBe('UPDATE state 40 completed')
    const numbers = seen.map((text) => Number(/\d+/.exec(text)?.[0]))
    expect(numbers).toEqual([...new Set(numbers)].sort((a, b) => a - b))
  })
})

describe('an outage', () => {
  it.each([
    { mode: 'hang' },
    { mode: 'status', status: 500 },
    { mode: 'status', status: 429, retryAfter: 0 },
    { mode: 'cut' },
    { mode: 'closed' },
  ] as const)('of the kind %o ends with CREATE first and the last state last', async (mode) => {
    recorder.control(mode)
    const reporter = reporterWith({ spill: join(dir, 'spill') })
    reporter.offer(snapshot('r1', 1, { create: true }))
    for (let seq = 2; seq <= 60; seq++) reporter.offer(snapshot('r1', seq))
    await new Promise((resolve) => setTimeout(resolve, 60))
    reporter.offer(snapshot('r1', 61, { completed: true }))
    expect(reporter.state('r1')).toBe('pending')
    await recorder.reopen()
    await reporter.idle('r1', soon())
    expect(arrived('r1')).toEqual(['CREATE state 1', 'UPDATE state 61 completed'])
    expect(reporter.stats()).toEqual({ pending: 0, deadLetters: 0, lost: 0 })
    expect(readdirSync(join(dir, 'spill'))).toEqual([])
  })

  it('is outlived by what lies on disk when the runner ends in it', async () => {
    recorder.control({ mode: 'closed' })
    const spill = join(dir, 'spill')
    const before = reporterWith({ spill })
    before.offer(snapshot('r1', 7, { create: true }))
    before.offer(snapshot('r1', 8, { completed: true }))
    before.offer(snapshot('r2', 3))
    expect(await before.stop(AbortSignal.timeout(50))).toBe(2)
    await recorder.reopen()
    const after = reporterWith({ spill })
    expect(after.state('r1')).toBe('pending')
    // the next life counts from 1 again; what it says is newer all the same
    after.offer(snapshot('r2', 1))
    await Promise.all([after.idle('r1', soon()), after.idle('r2', soon())])
    expect(arrived('r1')).toEqual(['CREATE state 7', 'UPDATE state 8 completed'])
    expect(arrived('r2').at(-1)).toBe('UPDATE state 1')
    expect(readdirSync(spill)).toEqual([])
  })

  it('gives up unfinished states before final ones when there is no room, and counts them', async () => {
    recorder.control({ mode: 'closed' })
    const size = Buffer.byteLength(snapshot('r1', 1).body)
    const reporter = reporterWith({ maxMemoryBytes: 3.5 * size })
    for (const run of ['a', 'b', 'c']) reporter.offer(snapshot(run, 1))
    for (const run of ['d', 'e']) reporter.offer(snapshot(run, 1, { completed: true }))
    reporter.offer(snapshot('c', 2, { completed: true }))
    expect(reporter.stats()).toMatchObject({ pending: 3, lost: 2 })
    reporter.offer(snapshot('f', 1))
    reporter.offer(snapshot('g', 1, { completed: true }))
    expect(reporter.stats()).toMatchObject({ pending: 3, lost: 4 })
    expect(reporter.state('g')).toBe('failed')
    await recorder.reopen()
    await Promise.all(['a', 'b', 'c', 'd', 'e'].map((run) => reporter.idle(run, soon())))
    const finals = ['c', 'd', 'e'].map((run) => arrived(run).at(-1))
    expect(finals).toEqual([
      'UPDATE state 2 completed',
      'UPDATE state 1 completed',
      'UPDATE state 1 completed',
    ])
    expect(['a', 'b', 'f', 'g'].flatMap(arrived)).toEqual([])
    expect(said.join()).toContain('memory and disk for unsent reports are full')
  })
})

describe('a peer that does not accept', () => {
  it('a report: it is not repeated, is counted and said, and the next one still goes', async () => {
    recorder.control({ mode: 'status', status: 400, body: 'bad nodes' })
    const reporter = reporterWith()
    reporter.offer(snapshot('r1', 1, { create: true }))
    await reporter.idle('r1', soon())
    expect(recorder.requests()).toHaveLength(1)
    expect(reporter.stats().deadLetters).toBe(1)
    expect(reporter.state('r1')).toBe('failed')
    expect(said.join()).toContain('answered 400: bad nodes; this report is not tried again')
    recorder.control({ mode: 'ok' })
    reporter.offer(snapshot('r1', 2, { completed: true }))
    await reporter.idle('r1', soon())
    expect(reporter.state('r1')).toBe('delivered')
  })

  it('the key: it is asked again, with a word on what to check', async () => {
    recorder.control({ mode: 'status', status: 401, body: 'unauthorized' })
    const reporter = reporterWith()
    reporter.offer(snapshot('r1', 1, { completed: true }))
    await new Promise((resolve) => setTimeout(resolve, 80))
    expect(reporter.state('r1')).toBe('pending')
    expect(said.join()).toContain('check ACCESS_KEY in the Secret')
    recorder.control({ mode: 'ok' })
    await reporter.idle('r1', soon())
    expect(arrived('r1')).toEqual(['UPDATE state 1 completed'])
  })
})

describe('our own control plane', () => {
  let server: SpawnedServer | undefined
  afterEach(async () => {
    await server?.kill('SIGKILL')
  })

  it('takes the reports and tells the run to whoever resumes it', async () => {
    server = await spawnServer(join(dir, 'data'))
    const baseUrl = `${server.url}/gateway/chaos/kserver/api`
    const reporter = reporterWith({ baseUrl, deadlineMs: 5000 })
    reporter.offer(snapshot('r1', 1, { create: true }))
    reporter.offer(snapshot('r1', 2))
    await reporter.idle('r1', soon())
    const which = { infra, experimentId: published.args.workflowID, runId: 'r1', scope }
    const client = clientFor({ baseUrl, deadlineMs: 5000 })
    const fetched = await fetchRun(client, which, soon())
    expect(fetched).toMatchObject({
      found: true,
      run: { notifyId: published.args.notifyID, phase: 'Running', completed: false },
    })
    const unknown = await fetchRun(client, { ...which, runId: 'r9' }, soon())
    expect(unknown).toMatchObject({ found: false, retry: false })
  })

  it('is read whether its documents come as objects or as text', async () => {
    const record = JSON.parse(fixture('kserver-experimentrun.reply.json'))
    recorder.answer({ match: '/o/r1', status: 200, body: JSON.stringify(record) })
    const text = { ...record.data, executionData: JSON.stringify(record.data.executionData) }
    recorder.answer({ match: '/t/r1', status: 200, body: JSON.stringify({ data: text }) })
    recorder.answer({ match: '/x/r1', status: 200, body: '<html>' })
    const look = (experimentId: string) =>
      fetchRun(clientFor({}), { infra, experimentId, runId: 'r1', scope }, soon())
    const [asObject, asText, broken] = await Promise.all(['o', 't', 'x'].map(look))
    expect(asObject).toMatchObject({ found: true, run: { notifyId: record.data.notifyID } })
    expect(asText).toMatchObject({
      run: { executionData: { name: 'api-payload-test', phase: 'Running' } },
    })
    expect(broken).toMatchObject({ found: false, why: 'the run record is not JSON' })
  })
})
