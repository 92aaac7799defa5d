import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { run } from '../../cluster/shell.ts'
import type { Json } from '../../watchers/api.ts'
import { podGroup, processesIn, stressorsOn } from '../../watchers/cgroups.ts'
import { type Watch, whenStressed } from '../burnt.ts'
import { cpuHog, experiment, networkLoss } from '../documents.ts'
import { type Story, World } from '../world.ts'

/** While node and API are up, a target is as before within this after whatever kill, milliseconds. */
const cleanMs = 5000
const domain = 'chaos.chaosplane.io'
const chart = new URL('../../../config/chart', import.meta.url).pathname
let world: World

async function warm(mode: string): Promise<void> {
  const { helm, kubeconfig, namespace } = world.installed
  const where = [`--kubeconfig=${kubeconfig}`, '--namespace', namespace, '--reuse-values']
  const how = ['--set', `runner.warm=${mode}`, '--wait', '--timeout', '100s']
  await run(helm, ['upgrade', 'chaosplane', chart, ...where, ...how], { timeoutMs: 120_000 })
}

beforeAll(async () => {
  world = await World.begin()
  await world.target('kindled')
})
afterAll(async () => {
  try {
    await warm('none')
    expect(stressorsOn(world.installed.nodes)).toEqual([])
  } finally {
    await world?.end()
  }
})

const holds = (cpu: Watch) => [...cpu.values()].flatMap((watch) => watch.holds())

const allFaultPods = (): Json[] =>
  [...world.pods.objects.values()].filter(
    ({ metadata }) => metadata.labels?.[`${domain}/part`] === 'fault-pod',
  )
const capabilitiesOf = ({ metadata }: Json): string => metadata.labels[`${domain}/capabilities`]
const runs = ({ status }: Json): boolean =>
  status.containerStatuses?.length === 2 &&
  status.containerStatuses.every(({ state }: Json) => state.running)
/** Pods that wait for a run, with what the CPU hog needs. */
const free = (): Json[] =>
  allFaultPods()
    .filter(({ metadata }) => !metadata.deletionTimestamp)
    .filter(({ metadata }) => metadata.labels[`${domain}/warm`] === 'free')
    .filter((pod) => capabilitiesOf(pod) === 'SYS_ADMIN.SYS_PTRACE')
const nodeOfTarget = (): string => world.podsOf('kindled')[0]?.spec.nodeName
const freeBesideTarget = (ms = 60_000): Promise<Json> =>
  world.pods.until('a free warm pod beside the target', ms, () =>
    free().find((pod) => pod.spec.nodeName === nodeOfTarget() && runs(pod)),
  )

async function begin(name: string, holdSeconds: number) {
  const cpu = world.watchCpu('kindled')
  const from = Date.now()
  const story = await world.run(experiment(name, [cpuHog('kindled', holdSeconds)]))
  await whenStressed(cpu, true, 60_000)
  // also when it is over by now
  await story.until('an injection', 30_000, ({ targets }) => targets.some((t) => t.injectedAt))
  const roseMs = (holds(cpu)[0]?.from ?? 0) - from
  const [pod] = world.faultPods(story.run.runId)
  console.log(`${name}: CPU rises ${roseMs} ms after the order, in ${pod?.metadata.name}`)
  return { cpu, story, pod: pod as Json, roseMs }
}

async function expectPassed(story: Story): Promise<void> {
  expect((await story.finished()).verdict).toBe('Pass')
  expect(await story.residue()).toEqual([])
}

/** Program and guard are killed in mid-hold. */
async function expectCleanAfterKill(name: string, uid: string): Promise<void> {
  const { cpu, story, pod } = await begin(name, 30)
  expect(pod.metadata.uid).toBe(uid)
  world.kill(pod, 'guard.sh')
  const from = world.kill(pod, 'fault-pod.cjs')
  await whenStressed(cpu, false, 30_000)
  const tookMs = Math.max(...holds(cpu).map(({ to }) => to ?? Number.POSITIVE_INFINITY)) - from
  console.log(`${name}: clean after ${tookMs} ms`)
  expect(tookMs).toBeLessThan(cleanMs)
  const status = await story.finished(90_000)
  expect(status.verdict).toBe('Error')
  expect(status.tasks[0].errorCode).toBe('CUT_SHORT')
  expect(status.run.tasks[0].injections).toBe(1)
  expect(story.targets.map(({ state }) => state)).toEqual(['reverted'])
  expect(await story.residue()).toEqual([])
}

/** What a pod that waits is, and does: what docs/operating.md lists, and nothing else. */
async function expectIdle(pod: Json): Promise<void> {
  expect(pod.spec.automountServiceAccountToken).toBe(false)
  expect(pod.spec.volumes ?? []).toEqual([])
  expect(pod.spec.containers.flatMap((one: Json) => one.volumeMounts ?? [])).toEqual([])
  expect(pod.spec.containers.flatMap((one: Json) => one.ports ?? [])).toEqual([])
  const group = podGroup(world.installed.nodes, pod.metadata.uid) ?? ''
  // the guard's second shell looks once a second whether there is an order, and sleeps in between
  const look = () => processesIn(group).filter(({ command }) => !/pause|^sleep/.test(command))
  // on a busy machine its containers are still being made
  const settled = { timeout: 15_000, interval: 50 }
  await expect
    .poll(
      () =>
        look()
          .map(({ command }) => command)
          .sort(),
      settled,
    )
    .toEqual(['node /app/fault-pod.cjs', 'sh /app/guard.sh', 'sh /app/guard.sh'])
  const own = look()
  for (const { pid } of own) {
    expect(existsSync(`/proc/${pid}/root/var/run/secrets`)).toBe(false)
    const files = readdirSync(`/proc/${pid}/fd`).map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`))
    expect(files.filter((file) => /chaosplane\/|\/proc\/|cgroup/.test(file))).toEqual([])
    const status = readFileSync(`/proc/${pid}/status`, 'utf8')
    // SYS_ADMIN and SYS_PTRACE: what the pod of a CPU hog has
    const both = ((1n << 21n) | (1n << 19n)).toString(16).padStart(16, '0')
    expect(status).toMatch(new RegExp(`^CapEff:\\s+${both}$`, 'm'))
    expect(status).toMatch(new RegExp(`^CapBnd:\\s+${both}$`, 'm'))
  }
  const pid = own[0]?.pid
  for (const table of ['tcp', 'tcp6', 'udp', 'udp6'])
    expect(readFileSync(`/proc/${pid}/net/${table}`, 'utf8').trim().split('\n')).toHaveLength(1)
  const cpuMs = () =>
    own
      .flatMap((one) => readFileSync(`/proc/${one.pid}/schedstat`, 'utf8').split(' ')[0] ?? '0')
      .reduce((sum, ns) => sum + Number(ns) / 1e6, 0)
  const before = cpuMs()
  await delay(2000)
  expect(cpuMs() - before).toBeLessThan(60)
}

describe('idle: a run leaves a pod behind for the next one', () => {
  beforeAll(() => warm('idle'))

  it('the first run finds none and leaves one that does nothing', async () => {
    const { story } = await begin('leaves-one', 2)
    await expectPassed(story)
    await expectIdle(await freeBesideTarget())
  })

  it('the next run takes it, and leaves another one', async () => {
    const waiting = await freeBesideTarget()
    const { story, pod } = await begin('takes-one', 2)
    expect(pod.metadata.uid).toBe(waiting.metadata.uid)
    await expectPassed(story)
    expect((await freeBesideTarget()).metadata.uid).not.toBe(waiting.metadata.uid)
    expect(free().filter(({ spec }) => spec.nodeName === nodeOfTarget())).toHaveLength(1)
  })

  it('a fault that needs more than it may do gets a pod of its own', async () => {
    const waiting = await freeBesideTarget()
    const story = await world.run(experiment('takes-none', [networkLoss('kindled', 2)]))
    await story.injected()
    expect(world.faultPods(story.run.runId).map(({ metadata }) => metadata.uid)).not.toContain(
      waiting.metadata.uid,
    )
    await expectPassed(story)
    expect((await freeBesideTarget()).metadata.uid).toBe(waiting.metadata.uid)
  })

  it('program and guard killed in it: clean in time', async () => {
    const waiting = await freeBesideTarget()
    await expectCleanAfterKill('warm-pair-dies', waiting.metadata.uid)
  })

  it('the pod taken away: clean in time', async () => {
    const waiting = await freeBesideTarget()
    const { cpu, story, pod } = await begin('warm-pod-dies', 30)
    expect(pod.metadata.uid).toBe(waiting.metadata.uid)
    const from = await world.forceDelete(pod)
    await whenStressed(cpu, false, 30_000)
    const tookMs = Math.max(...holds(cpu).map(({ to }) => to ?? Number.POSITIVE_INFINITY)) - from
    console.log(`warm-pod-dies: clean after ${tookMs} ms`)
    expect(tookMs).toBeLessThan(cleanMs)
    expect((await story.finished(90_000)).tasks[0].errorCode).toBe('CUT_SHORT')
    expect(await story.residue()).toEqual([])
  })
})

describe('daemonset: one waits on every node', () => {
  beforeAll(async () => {
    await warm('daemonset')
    await world.pods.until('one on every node', 60_000, () => {
      const waiting = free().filter(runs)
      return new Set(waiting.map(({ spec }) => spec.nodeName)).size === 2 && waiting.length === 2
    })
  })

  it('a run takes it out of the set, and the set makes another one', async () => {
    const waiting = await freeBesideTarget()
    expect(waiting.metadata.ownerReferences[0].kind).toBe('DaemonSet')
    await expectIdle(waiting)
    const { story, pod } = await begin('takes-of-set', 2)
    expect(pod.metadata.uid).toBe(waiting.metadata.uid)
    expect((await freeBesideTarget()).metadata.uid).not.toBe(waiting.metadata.uid)
    await expectPassed(story)
  })

  it('program and guard killed in it: clean in time', async () => {
    const waiting = await freeBesideTarget()
    await expectCleanAfterKill('set-pair-dies', waiting.metadata.uid)
  })
})

describe('none', () => {
  it('nothing is left when warm pods are not wanted any more', async () => {
    await warm('idle')
    const { story } = await begin('leaves-last', 2)
    await expectPassed(story)
    await freeBesideTarget()
    await warm('none')
    await world.pods.until('no fault pod', 30_000, () => allFaultPods().length === 0)
    const { story: after } = await begin('leaves-none', 2)
    await expectPassed(after)
    await delay(2000)
    expect(allFaultPods()).toEqual([])
  })
})
