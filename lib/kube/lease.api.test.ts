import { type ChildProcess, spawn } from 'node:child_process'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest'
import { apiServer } from '../../test-e2e/setup/worker.ts'
import { createKubeClient, type KubeClient } from './client.ts'
import { loadKubeConfig } from './config.ts'
import { createElection, type Term } from './lease.ts'
import { makeRoom } from './testing/things.ts'
import { startUnrulyProxy } from './testing/unruly-proxy.ts'
import { until } from './testing/until.ts'

type Word = { leads?: string; ended?: string; term?: number; at: number; why?: string }
type Candidate = { child: ChildProcess; words: Word[] }

let client: KubeClient
let count = 0
const children: ChildProcess[] = []
beforeAll(() => {
  const config = loadKubeConfig({ file: apiServer().kubeconfig, env: {} })
  client = createKubeClient({ config, userAgent: 'tests/1' })
})
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL')
})
afterAll(() => client.close())

const newSpace = async () => (await makeRoom(client, `lease-${count++}`)).name

function start(namespace: string, identity: string): Candidate {
  const program = join(import.meta.dirname, 'testing/candidate.ts')
  const args = [program, apiServer().kubeconfig, namespace, identity]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  children.push(child)
  const words: Word[] = []
  createInterface({ input: child.stdout }).on('line', (line) => words.push(JSON.parse(line)))
  return { child, words }
}

const leads = (c: Candidate) => c.words.some((w) => w.leads)
const lastLead = (c: Candidate) => c.words.findLast((w) => w.leads)?.at ?? 0
const firstLead = (c: Candidate) => c.words.find((w) => w.leads)?.at ?? 0

async function pair(): Promise<[Candidate, Candidate]> {
  const namespace = await newSpace()
  const first = start(namespace, 'first')
  await until('the first leads', () => leads(first))
  const second = start(namespace, 'second')
  await new Promise((resolve) => setTimeout(resolve, 1_500))
  expect(leads(second)).toBe(false)
  return [first, second]
}

it('a killed leader is replaced soon, in a later term', async () => {
  const [first, second] = await pair()
  const killedAt = Date.now()
  first.child.kill('SIGKILL')
  await until('the second leads', () => leads(second))
  // The budget of 2 s is the benchmark's; here only that nobody waits for a lease of the usual 15 s.
  expect(firstLead(second) - killedAt).toBeLessThan(8_000)
  expect(second.words.find((w) => w.leads)?.term).toBeGreaterThan(first.words[0]?.term ?? 0)
})

it('a stopped process that wakes up does not lead for a moment, and comes back as a candidate', async () => {
  const [first, second] = await pair()
  first.child.kill('SIGSTOP')
  await until('the second leads', () => leads(second))
  const takenAt = firstLead(second)
  first.child.kill('SIGCONT')
  await until('the first knows', () => first.words.some((w) => w.ended))
  expect(lastLead(first)).toBeLessThan(takenAt)
  expect(first.words.find((w) => w.ended)?.why).toContain('could not be renewed')
  second.child.kill('SIGKILL')
  await until('the first leads again', () => lastLead(first) > takenAt)
})

it('a leader that is told to stop hands over at once', async () => {
  const [first, second] = await pair()
  const stoppedAt = Date.now()
  first.child.kill('SIGTERM')
  await until('the second leads', () => leads(second))
  expect(firstLead(second) - stoppedAt).toBeLessThan(8_000)
  expect(lastLead(first)).toBeLessThanOrEqual(firstLead(second))
})

it('a leader that the API server does not answer gives up before anybody else takes over', async () => {
  const namespace = await newSpace()
  const proxy = await startUnrulyProxy(apiServer().kubeconfig)
  const far = createKubeClient({ config: proxy.config, userAgent: 'far/1' })
  const log: string[] = []
  let held: Term | undefined
  const run = (of: KubeClient, identity: string) => {
    const controller = new AbortController()
    const lead = async (term: Term) => {
      log.push(`${identity} leads`)
      if (identity === 'far') held = term
      await new Promise((resolve) => term.signal.addEventListener('abort', resolve))
      log.push(`${identity} ends`)
    }
    const election = createElection({ client: of, namespace, name: 'leader', identity, lead })
    const running = election.run(controller.signal)
    return { election, stop: () => controller.abort(), running }
  }
  const one = run(far, 'far')
  await until('far leads', () => log.includes('far leads'))
  expect(held?.holds()).toBe(true)
  const two = run(client, 'near')
  await until('near knows who leads', () => two.election.leader() === 'far')
  proxy.rule(() => ({ do: 'hang' }))
  await until('near leads', () => log.includes('near leads'))
  expect(log).toEqual(['far leads', 'far ends', 'near leads'])
  expect(held?.holds()).toBe(false)
  one.stop()
  two.stop()
  await Promise.all([one.running, two.running])
  await far.close()
  await proxy.close()
})

it('a lease whose holder is known to be dead is taken without waiting', async () => {
  const namespace = await newSpace()
  const first = start(namespace, 'first')
  await until('the first leads', () => leads(first))
  const stop = new AbortController()
  let tookAt = 0
  let dead = ''
  const election = createElection({
    client,
    namespace,
    name: 'leader',
    identity: 'second',
    timing: { durationMs: 60_000 },
    isDead: (holder) => holder === dead,
    lead: async (term) => {
      tookAt = Date.now()
      await new Promise((resolve) => term.signal.addEventListener('abort', resolve))
    },
  })
  const running = election.run(stop.signal)
  await until('the second knows', () => election.leader() === 'first')
  first.child.kill('SIGKILL')
  const killedAt = Date.now()
  dead = 'first'
  election.look()
  await until('the second leads', () => tookAt > 0)
  expect(tookAt - killedAt).toBeLessThan(8_000)
  stop.abort()
  await running
})
