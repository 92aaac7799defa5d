import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { systemClock, systemMonotonic } from '../lib/clock.ts'
import type { KubeClient } from '../lib/kube/client.ts'
import { chaosExperiments, leases, resourcePath } from '../lib/kube/paths.ts'
import { createReflector } from '../lib/kube/reflector.ts'
import type { KubeObject } from '../lib/kube/types.ts'
import { apiServer } from '../test-e2e/setup/worker.ts'
import type { Experiment } from './experiment/observe.ts'
import { done, running, startedAt } from './testing/runs.ts'
import { Stage } from './testing/stage.ts'

const namespace = 'operator-processes'
const call = { signal: AbortSignal.timeout(120_000) }
const entry = fileURLToPath(new URL('main.ts', import.meta.url))
const children = new Set<ChildProcess>()
let stage: Stage
let tests: KubeClient
let folder: string
let kubeconfig: string

beforeAll(async () => {
  stage = await Stage.set({
    kubeconfig: apiServer().kubeconfig,
    home: namespace,
    namespace: 'operator-stopped',
    agent: 'chaosplane-operator-test/3',
  })
  tests = stage.tests
  folder = await mkdtemp(join(tmpdir(), 'chaosplane-operator-'))
  kubeconfig = join(folder, 'kubeconfig')
  await writeFile(kubeconfig, stage.operatorsKubeconfig())
})
afterAll(async () => {
  for (const child of children) child.kill('SIGKILL')
  await rm(folder, { recursive: true, force: true })
  await stage?.end()
})

function start(pod: string, args: string[] = [], env: Record<string, string> = {}): ChildProcess {
  const child = spawn(process.execPath, [entry, ...args], {
    env: {
      PATH: process.env['PATH'] ?? '',
      POD_NAME: pod,
      POD_NAMESPACE: namespace,
      IMAGE: 'chaosplane:test',
      KUBECONFIG: kubeconfig,
      HEALTH_PORT: '0',
      ...env,
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  children.add(child)
  return child
}

async function output(child: ChildProcess): Promise<{ code: number | null; text: string }> {
  let text = ''
  child.stdout?.on('data', (chunk) => {
    text += chunk
  })
  const [code] = (await once(child, 'close')) as [number | null]
  return { code, text }
}

type Lease = KubeObject & { spec?: { holderIdentity?: string } }
/** `<pod>/<life>` */
const holder = async () => {
  const path = resourcePath({ ...leases, namespace, name: 'chaosplane-operator' })
  const lease = await tests.find<Lease>(path, call)
  return lease?.spec?.holderIdentity ?? ''
}
const leader = async () => (await holder()).split('/')[0]
async function untilLeader(pod: string): Promise<void> {
  const limit = systemMonotonic() + 20_000
  while ((await leader()) !== pod) {
    if (systemMonotonic() > limit) throw new Error(`${pod} never led`)
    await systemClock.sleep(20, call.signal)
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  return port
}

/** A replica that stands by is ready too: its caches are full. */
async function untilReady(port: number): Promise<void> {
  const limit = systemMonotonic() + 20_000
  const isReady = () =>
    fetch(`http://127.0.0.1:${port}/readyz`).then(
      (response) => response.ok,
      () => false,
    )
  while (!(await isReady())) {
    if (systemMonotonic() > limit) throw new Error('the replica was never ready')
    await systemClock.sleep(20, call.signal)
  }
}

/** Follows every phase and verdict that the experiments have, as they are written. */
function follow(told: Map<string, string[]>, signal: AbortSignal): Promise<void> {
  const path = resourcePath({ ...chaosExperiments, namespace: 'operator-stopped' })
  const reflector = createReflector<Experiment>({ client: tests, path })
  reflector.store.onChange(({ object }) => {
    const said = `${object.status?.phase ?? ''} ${object.status?.verdict ?? ''}`
    const all = told.get(object.metadata.name) ?? []
    if (all.at(-1) !== said) told.set(object.metadata.name, [...all, said])
  })
  return reflector.run(signal)
}

describe('the operator as a process', () => {
  it('writes nothing any more when it was stopped while it led, and another leads when it wakes', async () => {
    const told = new Map<string, string[]>()
    const leave = new AbortController()
    const following = follow(told, leave.signal)
    const sleeper = start('sleeper')
    await untilLeader('sleeper')
    const port = await freePort()
    const heir = start('heir', [], { HEALTH_PORT: String(port) })
    await untilReady(port)
    // each is news that the leader is about to write when it is stopped
    const runs: Experiment[] = []
    for (let n = 0; n < 12; n += 1) {
      const object = await stage.createClaimed(`run-${n}`)
      await stage.asRunner(object, { tasks: [running] })
      runs.push(object)
    }
    sleeper.kill('SIGSTOP')
    await untilLeader('heir')
    for (const { metadata } of runs) await stage.untilPhase(metadata.name, 'Running')
    for (const object of runs)
      await stage.asRunner(object, { tasks: [done], finishedAt: startedAt + 10_000 })
    for (const { metadata } of runs) await stage.untilPhase(metadata.name, 'Completed')
    sleeper.kill('SIGCONT')
    await systemClock.sleep(3_000, call.signal)
    expect(await leader()).toBe('heir')
    leave.abort()
    await following
    const after = [...told.values()].map((all) => all.slice(all.indexOf('Completed Pass')))
    expect(after).toEqual(runs.map(() => ['Completed Pass']))
    const ended = [sleeper, heir].map((child) => once(child, 'close'))
    for (const child of [heir, sleeper]) child.kill('SIGTERM')
    await Promise.all(ended)
    for (const object of runs) await stage.letGo(object)
  })

  it('leads, stands by, takes over from a killed leader, and hands over on SIGTERM', async () => {
    const first = start('first')
    await untilLeader('first')
    const port = await freePort()
    const second = start('second', [], { HEALTH_PORT: String(port) })
    const said = output(second)
    await untilReady(port)
    first.kill('SIGKILL')
    await untilLeader('second')
    const third = start('third')
    await systemClock.sleep(1_500, call.signal)
    expect(await leader()).toBe('second')
    second.kill('SIGTERM')
    expect((await said).code).toBe(0)
    await untilLeader('third')
    const ended = output(third)
    third.kill('SIGTERM')
    expect((await ended).code).toBe(0)
    expect(await leader()).toBe('')
  })

  it('takes its own lease again at once when it is killed and started in place, and nobody stands by', async () => {
    let life = start('alone')
    await untilLeader('alone')
    const tookMs: number[] = []
    for (let times = 0; times < 3; times += 1) {
      const before = await holder()
      const killedAt = systemMonotonic()
      life.kill('SIGKILL')
      await once(life, 'close')
      const port = await freePort()
      life = start('alone', [], { HEALTH_PORT: String(port) })
      // from here on it takes part in the election
      await untilReady(port)
      const readyAt = systemMonotonic()
      const limit = readyAt + 10_000
      while ((await holder()) === before && systemMonotonic() < limit)
        await systemClock.sleep(10, call.signal)
      const takenAt = systemMonotonic()
      expect(await leader()).toBe('alone')
      expect(await holder()).not.toBe(before)
      // Waited for until it runs out, the lease of the life before would be taken 1.5 s later.
      expect(takenAt - readyAt).toBeLessThan(1_300)
      tookMs.push(Math.round(takenAt - killedAt))
    }
    console.log(`an operator that is started in place leads ${tookMs.join(', ')} ms after the kill`)
    const ended = output(life)
    life.kill('SIGTERM')
    expect((await ended).code).toBe(0)
    expect(await leader()).toBe('')
  })

  it('drains and ends with success when nothing is active', async () => {
    const { code, text } = await output(start('drain', ['drain'], { DRAIN_TIMEOUT_SECONDS: '5' }))
    expect(text).toContain('no experiment is active')
    expect(code).toBe(0)
  })

  it('refuses what it does not know', async () => {
    const child = start('wrong', ['drian'])
    expect((await output(child)).code).toBe(1)
  })
})
