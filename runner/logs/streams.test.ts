import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { systemClock } from '../../lib/clock.ts'
import { createDispatcher, createSend } from '../../lib/http.ts'
import { createLog, type Log } from '../../lib/log.ts'
import { createPeer } from '../../lib/peer.ts'
import { openSpill } from '../../lib/spill.ts'
import { encodeLogLine, type LogLine, logTime } from '../../model/wire/log-service.ts'
import {
  type SpawnedServer,
  spawnServer,
  testAccessKey,
  testLogToken,
} from '../../server/spawned.ts'
import { Recorder } from '../../test-e2e/recorder/recorder.ts'
import { createMasker } from './mask.ts'
import { createLogStreams, type LogStreams, logDefaults, logServicePeer } from './streams.ts'

// processes are started here, perhaps on a busy machine
vi.setConfig({ testTimeout: 60_000 })

const time = Date.UTC(2025, 4, 1, 17, 27, 56)
const args = { PodName: 'pod-delete-wm3-d6moyr-vwkng', PodNamespace: 'v2' }
const key = 'run-1-pod-delete-wm3'
const soon = () => AbortSignal.timeout(15_000)
const dispatcher = createDispatcher()

let dir: string
let recorder: Recorder
let said: string[]
let log: Log
const open: LogStreams[] = []

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'logs-'))
  recorder = new Recorder(join(dir, 'recorded'))
  await recorder.listen(0)
  said = []
  log = createLog({ program: 'test', level: 'debug' }, { write: (line) => void said.push(line) })
})
afterEach(async () => {
  const now = AbortSignal.abort(new Error('the test is over'))
  for (const logs of open.splice(0)) await logs.stop(now)
  await recorder.stop()
  rmSync(dir, { recursive: true })
})

type Options = {
  baseUrl?: string
  spillBytes?: number
  maxMemoryBytes?: number
  maxLines?: number
  secrets?: string[]
}
function streamsWith(options: Options = {}): LogStreams {
  const quick = { ...logServicePeer, minMs: 5, maxMs: 20, forbiddenMs: 20 }
  const logs = createLogStreams({
    settings: {
      baseUrl: options.baseUrl ?? `${recorder.url}/gateway/log-service`,
      token: testLogToken,
      accountId: 'account',
      maxMemoryBytes: options.maxMemoryBytes ?? logDefaults.maxMemoryBytes,
      batch: { ...logDefaults.batch, maxLines: options.maxLines ?? 2000, waitMs: 20 },
    },
    send: createSend(dispatcher, { deadlineMs: 2000 }),
    peer: createPeer(quick, { clock: systemClock, random: Math.random, log }),
    clock: systemClock,
    mask: createMasker(options.secrets ?? []),
    ...(options.spillBytes ? { spill: openSpill(join(dir, 'spill'), options.spillBytes) } : {}),
    log,
  })
  open.push(logs)
  return logs
}
const write = (logs: LogStreams, out: string) => logs.write(key, { level: 'info', out, time, args })
/** Lines whose batch was answered with success, once each, in the order of arrival. */
function arrived(): LogLine[] {
  const taken = recorder
    .requests()
    .filter(({ method, bytes, answered }) => method !== 'GET' && bytes > 0 && answered === '200')
  const lines: LogLine[] = taken.flatMap(({ n }) => JSON.parse(recorder.body(n).toString()))
  return lines
}
const calls = (): string[] =>
  recorder
    .requests()
    .filter(({ answered }) => answered === '200')
    .map(({ method, url }) => `${method} ${url}`)
const range = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, i) => from + i)

describe('one log', () => {
  it('is opened, written byte for byte as published, and closed', async () => {
    const logs = streamsWith({ secrets: ['s3cr3t-value'] })
    logs.open(key, { from: 1 })
    expect(write(logs, '[Start]: pod-delete FAULT START')).toBe(1)
    expect(write(logs, 'é "quoted" \\ s3cr3t-value\nnext')).toBe(2)
    expect(await logs.close(key, soon())).toBe(true)
    const query = `?accountID=account&key=${key}`
    expect(calls()).toEqual([
      `POST /gateway/log-service${query}`,
      `PUT /gateway/log-service/stream${query}`,
      `DELETE /gateway/log-service${query}`,
    ])
    const lines = ['[Start]: pod-delete FAULT START', 'é "quoted" \\ ********\nnext'].map(
      (out, i) => encodeLogLine({ level: 'info', pos: i + 1, out, time: logTime(time), args }),
    )
    expect(recorder.body(2).toString()).toBe(`[${lines.join(',')}]`)
    const headers = recorder.requests()[1]?.headers.map(([name, value]) => `${name}: ${value}`)
    expect(headers).toContain(`X-Harness-Token: ${testLogToken}`)
  })

  it('goes on behind the positions of the runner before', async () => {
    const logs = streamsWith()
    logs.open(key, { from: 41 })
    expect(write(logs, 'adopted')).toBe(41)
    expect(logs.position(key)).toBe(41)
    expect(await logs.flush(soon())).toBe(true)
    expect(arrived().map(({ pos }) => pos)).toEqual([41])
  })

  it('reaches the service without a flush, and in order, in full batches', async () => {
    const logs = streamsWith({ maxLines: 50 })
    logs.open(key, { from: 1 })
    for (const pos of range(1, 1234)) write(logs, `line ${pos}`)
    await expect.poll(() => arrived().length, { timeout: 12_000 }).toBe(1234)
    expect(arrived().map(({ pos }) => pos)).toEqual(range(1, 1234))
    expect(recorder.requests('/stream').length).toBeLessThanOrEqual(26)
    expect(logs.stats()).toEqual({ streams: 1, lost: 0, memoryBytes: 0 })
  })

  it('refuses lines after the close, and counts them', async () => {
    const logs = streamsWith()
    logs.open(key, { from: 1 })
    await logs.close(key, soon())
    expect(write(logs, 'late')).toBeUndefined()
    expect(logs.stats().lost).toBe(1)
  })
})

describe('an outage', () => {
  it.each([{ mode: 'status', status: 500 }, { mode: 'cut' }, { mode: 'closed' }] as const)(
    'of the kind %o loses no line and closes last, memory bounded',
    async (mode) => {
      recorder.control(mode)
      const logs = streamsWith({ spillBytes: 1e7, maxMemoryBytes: 20_000, maxLines: 100 })
      logs.open(key, { from: 1 })
      let most = 0
      for (const pos of range(1, 3000)) {
        write(logs, `line ${pos}`)
        most = Math.max(most, logs.stats().memoryBytes)
      }
      expect(most).toBeLessThanOrEqual(20_000)
      const short = AbortSignal.timeout(60)
      expect(await logs.close(key, short)).toBe(false)
      expect(readdirSync(join(dir, 'spill')).length).toBeGreaterThan(5)
      await recorder.reopen()
      expect(await logs.close(key, soon())).toBe(true)
      expect(arrived().map(({ pos }) => pos)).toEqual(range(1, 3000))
      expect(calls().at(-1)).toMatch(/^DELETE/)
      expect(logs.stats()).toEqual({ streams: 0, lost: 0, memoryBytes: 0 })
      expect(readdirSync(join(dir, 'spill'))).toEqual([])
    },
  )

  it('that is longer than memory and disk drops the newest lines, and a line says so', async () => {
    recorder.control({ mode: 'closed' })
    const logs = streamsWith({ spillBytes: 30_000, maxMemoryBytes: 20_000, maxLines: 100 })
    logs.open(key, { from: 1 })
    const taken = range(1, 2000).filter((n) => write(logs, `line ${n}`) !== undefined).length
    expect(taken).toBeLessThan(1000)
    expect(logs.stats().lost).toBe(2000 - taken)
    await recorder.reopen()
    await logs.flush(soon())
    await logs.close(key, soon())
    const lines = arrived()
    expect(lines.map(({ pos }) => pos)).toEqual(range(1, taken + 1))
    expect(lines.at(-1)).toMatchObject({ level: 'warn' })
    expect(lines.at(-1)?.out).toContain(`${2000 - taken} lines are missing here`)
  })

  it('makes writers wait that can wait, and then loses nothing', async () => {
    const logs = streamsWith({ maxMemoryBytes: 20_000, maxLines: 50 })
    logs.open(key, { from: 1 })
    for (const pos of range(1, 3000)) {
      if (write(logs, `line ${pos}`) !== undefined) continue
      await logs.ready(soon())
      expect(write(logs, `line ${pos} again`)).toBeDefined()
    }
    await logs.close(key, soon())
    const numbers = arrived().map(({ out }) => /^line (\d+)/.exec(out)?.[1])
    expect(numbers.filter(Boolean).map(Number)).toEqual(range(1, 3000))
    recorder.control({ mode: 'closed' })
    logs.open('other', { from: 1 })
    while (logs.write('other', { level: 'info', out: 'x', time }) !== undefined);
    await logs.ready(AbortSignal.timeout(20))
  })

  it('is outlived by what lies on disk when the runner ends in it', async () => {
    const before = streamsWith({ spillBytes: 1e6 })
    before.open(key, { from: 1 })
    write(before, 'line 1')
    await before.flush(soon())
    recorder.control({ mode: 'closed' })
    // the first of these is under way, again and again, when the runner ends
    for (const pos of range(2, 10)) write(before, `line ${pos}`)
    await new Promise((resolve) => setTimeout(resolve, 50))
    expect(await before.stop(AbortSignal.timeout(30))).toBe(0)
    await recorder.reopen()
    const after = streamsWith({ spillBytes: 1e6 })
    after.open(key, { from: 11 })
    write(after, 'line 11')
    expect(await after.close(key, soon())).toBe(true)
    expect(arrived().map(({ out }) => out)).toEqual(range(1, 11).map((n) => `line ${n}`))
  })
})

describe('a service that does not accept', () => {
  it('the stream endpoint: lines go to the blob endpoint', async () => {
    recorder.control({ mode: 'status', status: 404, match: '/stream' })
    const logs = streamsWith()
    logs.open(key, { from: 1 })
    write(logs, 'line')
    expect(await logs.close(key, soon())).toBe(true)
    expect(calls().filter((call) => call.includes('/blob'))).toHaveLength(1)
    expect(arrived().map(({ pos }) => pos)).toEqual([1])
  })

  it('a batch: its lines are counted and said, the next batch still goes', async () => {
    recorder.control({ mode: 'status', status: 400, match: '/stream' })
    const logs = streamsWith()
    logs.open(key, { from: 1 })
    write(logs, 'bad')
    await logs.flush(soon())
    expect(logs.stats().lost).toBe(1)
    recorder.control({ mode: 'ok' })
    write(logs, 'good')
    await logs.close(key, soon())
    expect(arrived().map(({ out }) => out)).toEqual(['good'])
    expect(said.join()).toContain('1 log lines are lost: log-service answered 400')
  })
})

describe('our own log-service', () => {
  let server: SpawnedServer | undefined
  afterEach(async () => {
    await server?.kill('SIGKILL')
  })
  const tail = async (after: number) => {
    const url = `${server?.url}/api/logs?key=${key}&after=${after}`
    const reply = await fetch(url, { headers: { 'X-Access-Key': testAccessKey } })
    return (await reply.json()) as { complete: boolean; lines: LogLine[] }
  }

  it('keeps every line once, across its own SIGKILL', async () => {
    server = await spawnServer(join(dir, 'data'))
    const port = new URL(server.url).port
    const logs = streamsWith({ baseUrl: `${server.url}/log-service`, maxLines: 20 })
    logs.open(key, { from: 1 })
    for (const pos of range(1, 3000)) write(logs, `line ${pos}`)
    await expect
      .poll(async () => (await tail(0)).lines.length, { timeout: 12_000 })
      .toBeGreaterThan(0)
    await server.kill('SIGKILL')
    for (const pos of range(3001, 3100)) write(logs, `line ${pos}`)
    server = await spawnServer(join(dir, 'data'), { PORT: port })
    expect(await logs.close(key, soon())).toBe(true)
    const seen: number[] = []
    for (let page = await tail(0); page.lines.length > 0; page = await tail(seen.at(-1) ?? 0))
      seen.push(...page.lines.map(({ pos }) => pos))
    expect(seen).toEqual(range(1, 3100))
    expect((await tail(3100)).complete).toBe(true)
  })
})
