import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { fixture } from '../model/wire/fixtures.ts'
import { settingsFrom } from './settings.ts'
import { type SpawnedServer, spawnServer, testAccessKey, testLogToken } from './spawned.ts'
import { openLogStore } from './store/logs.ts'
import { openRunStore } from './store/runs.ts'

// processes are started here, perhaps on a busy machine
vi.setConfig({ testTimeout: 60_000 })

const published = JSON.parse(fixture('kserver-task-response.request.json'))
const { workflowID, workflowRunID } = published.args
const scope =
  'environmentIdentifier=test&accountIdentifier=vAeOvaJ8R_iQiy_GpA6sTQ&organizationIdentifier=default&projectIdentifier=airecommendations'
const reportPath = `/chaos/kserver/api/infra/v2/task/response/prodecommerce?${scope}`
const recordPath = (run = workflowRunID) =>
  `/chaos/kserver/api/infra/v2/task/experimentrun/prodecommerce/${workflowID}/${run}?${scope}`

let dir: string
let server: SpawnedServer
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'server-'))
})
afterEach(async () => {
  await server?.kill('SIGKILL')
  rmSync(dir, { recursive: true })
})

type Call = { method?: string; body?: string; key?: string; token?: string }
async function call(path: string, { method, body, key, token }: Call = {}) {
  const reply = await fetch(server.url + path, {
    method: method ?? (body === undefined ? 'GET' : 'POST'),
    headers: {
      'Content-Type': 'application/json',
      'X-Access-Key': key ?? testAccessKey,
      'X-Harness-Token': token ?? testLogToken,
    },
    ...(body === undefined ? {} : { body }),
    signal: AbortSignal.timeout(15_000),
  })
  const text = await reply.text()
  const json = (): Record<string, unknown> => JSON.parse(text)
  return { status: reply.status, type: reply.headers.get('content-type'), text, json }
}

type Over = { run?: string; completed?: boolean; data?: (data: Record<string, never>) => unknown }
function report({ run, completed, data }: Over = {}): string {
  const executionData = JSON.parse(published.args.executionData)
  data?.(executionData)
  const args = {
    ...published.args,
    executionData: JSON.stringify(executionData),
    completed: String(completed ?? false),
    workflowRunID: run ?? workflowRunID,
  }
  return JSON.stringify({ ...published, args })
}
const finish = (data: Record<string, unknown>): void => {
  data.phase = 'Completed'
  for (const node of Object.values(data.nodes as Record<string, Record<string, unknown>>)) {
    node.phase = 'Completed'
    if (!node.chaosData) continue
    Object.assign(node.chaosData, { experimentVerdict: 'Pass', probeSuccessPercentage: '100' })
  }
}

describe('kserver', () => {
  it.each(['', '/gateway'])(
    'answers the published report as published, below "%s"',
    async (base) => {
      server = await spawnServer(dir)
      const body = fixture('kserver-task-response.request.json')
      const reply = await call(base + reportPath, { body })
      expect(reply).toMatchObject({ status: 200, type: 'application/json' })
      expect(reply.text).toBe(fixture('kserver-task-response.reply.txt'))
    },
  )

  it('gives back a run that it did not start, field by field in the published order', async () => {
    server = await spawnServer(dir)
    const record = JSON.parse(fixture('kserver-experimentrun.reply.json')).data
    const executionData = JSON.stringify(record.executionData)
    const args = { ...published.args, executionData }
    await call(reportPath, { body: JSON.stringify({ ...published, args }) })
    const { data } = JSON.parse((await call(recordPath())).text)
    expect(Object.keys(data)).toEqual(Object.keys(record))
    expect(JSON.stringify(data.executionData)).toBe(executionData)
    const own = ['experimentYaml', 'securityGovernance', 'faultsWithProbes', 'revisionID']
    const stamps = ['createdBy', 'createdAt', 'updatedAt']
    for (const field of [...own, ...stamps]) {
      delete data[field]
      delete record[field]
    }
    expect(data).toEqual(record)
  })

  it('scores a completed run and lets nothing unfinished overwrite it', async () => {
    server = await spawnServer(dir)
    await call(reportPath, { body: report() })
    await call(reportPath, { body: report({ completed: true, data: finish }) })
    const late = await call(reportPath, { body: report() })
    expect(late.text).toBe(fixture('kserver-task-response.reply.txt'))
    const { data } = JSON.parse((await call(recordPath())).text)
    expect(data).toMatchObject({
      phase: 'Completed',
      completed: true,
      resiliencyScore: 100,
      faultsPassed: 2,
      totalFaults: 2,
      runSequence: 1,
    })
  })

  it('refuses a wrong key as plain text, before it reads anything', async () => {
    server = await spawnServer(dir)
    const reply = await call(reportPath, { body: '{', key: 'wrong' })
    expect(reply.status).toBe(401)
    expect(reply.text).toContain('X-Access-Key')
    expect(reply.text).not.toContain(testAccessKey)
    expect((await call(recordPath(), { key: '' })).type).toMatch(/^text\/plain/)
    expect((await call('/api/runs', { key: 'wrong' })).status).toBe(401)
  })

  it.each([
    ['no JSON', '{', 400, /JSON/],
    [
      'a boolean',
      JSON.stringify({ ...published, args: { ...published.args, completed: true } }),
      400,
      /body\.args\.completed/,
    ],
    [
      'data that is no JSON',
      JSON.stringify({ ...published, args: { ...published.args, executionData: '{' } }),
      400,
      /body\.args\.executionData: is not JSON/,
    ],
    [
      'a node that is none',
      report({ data: (d) => Object.assign(d, { nodes: { x: 3 } }) }),
      400,
      /executionData\.nodes\.x/,
    ],
    [
      'another infrastructure',
      JSON.stringify({ ...published, infraId: 'other' }),
      400,
      /body\.infraId/,
    ],
    ['a body over the limit', report({ run: 'x'.repeat(9000) }), 413, /large/i],
  ])('refuses %s and says where', async (_name, body, status, why) => {
    server = await spawnServer(dir, { MAX_BODY_BYTES: '8000' })
    const reply = await call(reportPath, { body })
    expect(reply.status).toBe(status)
    expect(reply.text).toMatch(why)
    expect((await call('/api/runs')).json()).toMatchObject({ total: 0 })
  })

  it('keeps every acknowledged report when it is killed in mid-write', async () => {
    server = await spawnServer(dir)
    const acknowledged: string[] = []
    const writers = Array.from({ length: 4 }, async (_none, writer) => {
      for (let n = 0; ; n++) {
        const run = `run-${writer}-${n}`
        const reply = await call(reportPath, {
          body: report({ run, completed: true, data: finish }),
        })
        if (reply.status === 200) acknowledged.push(run)
      }
    })
    const ended = Promise.allSettled(writers)
    await expect.poll(() => acknowledged.length, { timeout: 15_000 }).toBeGreaterThan(40)
    await server.kill('SIGKILL')
    await ended
    server = await spawnServer(dir)
    const { total, runs } = (await call('/api/runs?limit=500')).json()
    const kept = new Set((runs as { runId: string }[]).map(({ runId }) => runId))
    expect(acknowledged.filter((run) => !kept.has(run))).toEqual([])
    expect(total as number).toBeGreaterThanOrEqual(acknowledged.length)
    for (const run of acknowledged.slice(-3))
      expect((await call(recordPath(run))).json()).toMatchObject({ data: { completed: true } })
  })
})

describe('runs', () => {
  it('are listed newest first, page by page', async () => {
    server = await spawnServer(dir)
    for (const run of ['a', 'b', 'c', 'd', 'e']) await call(reportPath, { body: report({ run }) })
    const page = async (n: number) => {
      const { runs } = (await call(`/api/runs?limit=2&page=${n}`)).json()
      return (runs as { runId: string; sequence: number }[]).map((run) => run.sequence)
    }
    const sequences = [...(await page(0)), ...(await page(1)), ...(await page(2))]
    expect([...sequences].sort()).toEqual([1, 2, 3, 4, 5])
    expect((await call('/api/runs/c')).json()).toMatchObject({ experimentRunID: 'c' })
    expect((await call('/api/runs/z')).status).toBe(404)
    expect((await call('/api/runs?limit=0')).text).toContain('query.limit')
  })
})

describe('log-service', () => {
  const at = (path: string) => `/gateway/log-service${path}?accountID=a&key=k`
  const line = (pos: number, out: string) => ({ level: 'info', pos, out, time: '', args: {} })
  const put = (lines: unknown[]) =>
    call(at('/stream'), { method: 'PUT', body: JSON.stringify(lines) })
  const outs = async (query = '') => {
    const { lines } = (await call(`/api/logs?key=k${query}`)).json()
    return (lines as { out: string }[]).map(({ out }) => out)
  }

  it('takes the published lines, and shows what is behind a position until the log is closed', async () => {
    server = await spawnServer(dir)
    expect((await call(at(''), { method: 'POST' })).status).toBe(200)
    const body = fixture('log-service-stream.request.json')
    expect((await call(at('/stream'), { method: 'PUT', body })).status).toBe(200)
    await put([line(2, 'b'), line(3, 'c')])
    expect(await outs()).toEqual(['[Start]: pod-delete FAULT START', 'b', 'c'])
    expect(await outs('&after=2')).toEqual(['c'])
    expect(await outs('&after=0&limit=1')).toHaveLength(1)
    expect((await call('/api/logs?key=k')).json()).toMatchObject({ complete: false, after: 3 })
    await call(at(''), { method: 'DELETE' })
    expect((await call('/api/logs?key=k&after=3')).json()).toMatchObject({ complete: true })
    expect((await call('/api/logs?key=none')).status).toBe(404)
  })

  it('keeps a repeated line once, and two different lines of one position both', async () => {
    server = await spawnServer(dir)
    await put([line(1, 'a'), line(2, 'b')])
    await put([line(1, 'a'), line(2, 'b'), line(3, 'c')])
    await put([line(3, 'of the runner that adopted'), line(4, 'd')])
    expect(await outs()).toEqual(['a', 'b', 'c', 'of the runner that adopted', 'd'])
  })

  it('takes a blob as an array or as one object a line, and gives positions where there are none', async () => {
    server = await spawnServer(dir)
    const blob = (body: string) => call(at('/blob'), { body })
    await blob(JSON.stringify([line(1, 'a')]))
    await blob(`${JSON.stringify({ out: 'b' })}\n${JSON.stringify({ out: 'c' })}\n`)
    expect(await outs()).toEqual(['a', 'b', 'c'])
    expect((await blob('nonsense')).status).toBe(400)
  })

  it('refuses a wrong token, a missing key and lines without text', async () => {
    server = await spawnServer(dir)
    expect((await call(at(''), { method: 'POST', token: 'x' })).status).toBe(401)
    expect((await call('/log-service?accountID=a', { method: 'POST' })).text).toContain('query.key')
    expect((await put([line(1, 'a'), { pos: 2 }])).text).toContain('body.1.out')
    expect((await put([])).status).toBe(200)
  })
})

describe('the process', () => {
  it('ends with 0 on SIGTERM and says that it is ready', async () => {
    server = await spawnServer(dir)
    expect((await call('/healthz')).status).toBe(200)
    expect((await call('/readyz')).status).toBe(200)
    expect(await server.kill('SIGTERM')).toBe(0)
  })

  it('does not start on a database of a newer version', async () => {
    new DatabaseSync(join(dir, 'runs.db')).exec('PRAGMA user_version = 99')
    await expect(spawnServer(dir)).rejects.toThrow(/newer version .*DATA_DIR/)
  })

  it.each([
    [{ ACCESS_KEY: '' }, /ACCESS_KEY must be set/],
    [{ LOG_SERVICE_TOKEN: '' }, /LOG_SERVICE_TOKEN must be set/],
    [{ PORT: 'http' }, /PORT must be a whole number/],
    [{ PORT: '70000' }, /PORT must be at most 65535/],
    [{ LOG_LEVEL: 'loud' }, /LOG_LEVEL must be one of/],
  ])('refuses the settings %o', (over, why) => {
    expect(() => settingsFrom({ ACCESS_KEY: 'a', LOG_SERVICE_TOKEN: 'b', ...over })).toThrow(why)
  })
})

describe('retention', () => {
  const name = (key: string) => ({ accountId: 'a', key })
  const lines = [{ level: 'info', pos: 1, out: 'x'.repeat(1000), time: '', args: {} }]

  it('removes logs that are too old, then the oldest until the rest fits', () => {
    const logs = openLogStore(join(dir, 'logs.db'), 1500)
    for (const [i, key] of ['old', 'b', 'c', 'd'].entries()) logs.append(name(key), lines, i * 1000)
    expect(logs.prune({ maxAgeMs: 2500, maxBytes: 2500 }, 3000)).toBe(2)
    expect(['old', 'b', 'c', 'd'].map((key) => logs.find(key) !== undefined)).toEqual([
      false,
      false,
      true,
      true,
    ])
    expect(logs.append(name('d'), [{ ...lines[0], pos: 2 } as never], 4000)).toBe(true)
    expect(logs.append(name('d'), [{ ...lines[0], pos: 3 } as never], 4000)).toBe(false)
    logs.end()
  })

  it('keeps so many completed runs, and all that are not', () => {
    const runs = openRunStore(join(dir, 'runs.db'))
    const put = (runId: string, completed: boolean, createdAt: number): void =>
      runs.update(runId, () => ({
        runId,
        experimentId: 'e',
        infra: 'i',
        scope: {
          environmentIdentifier: '',
          accountIdentifier: '',
          organizationIdentifier: '',
          projectIdentifier: '',
        },
        name: 'n',
        notifyId: '',
        updatedBy: '',
        phase: 'Running',
        completed,
        tally: { score: 0, passed: 0, failed: 0, awaited: 0, stopped: 0, na: 0, total: 0 },
        executionData: '{}',
        createdAt,
        updatedAt: createdAt,
      }))
    put('running', false, 0)
    for (const n of [1, 2, 3]) put(`done-${n}`, true, n)
    expect(runs.prune(2)).toBe(1)
    expect(runs.page({ limit: 9, offset: 0 }).runs.map(({ runId }) => runId)).toEqual([
      'done-3',
      'done-2',
      'running',
    ])
    runs.close()
  })
})
