import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { Json } from '../../watchers/api.ts'
import { stressorsOn } from '../../watchers/cgroups.ts'
import { reportsOf } from '../../watchers/peers.ts'
import { cpuHog, experiment } from '../documents.ts'
import { type Story, World } from '../world.ts'

/** Far before the stressor's own limit, with room for a machine that is busy elsewhere; milliseconds. */
const guardMs = 4000
/** What a node's own deadline may be late by on a busy machine, milliseconds; benchmarks measure the real figure. */
const punctual = 1500
let world: World

beforeAll(async () => {
  world = await World.begin()
  // One pod on each node.
  const spread = {
    topologyKey: 'kubernetes.io/hostname',
    labelSelector: { matchLabels: { app: 'dying' } },
  }
  await world.target('dying', 2, {
    affinity: { podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [spread] } },
  })
})
afterAll(async () => {
  try {
    expect(stressorsOn(world.installed.nodes)).toEqual([])
  } finally {
    await world?.end()
  }
})

const holdsOf = (cpu: ReturnType<World['watchCpu']>) =>
  [...cpu]
    .flatMap(([pod, watch]) => watch.holds().map((hold) => ({ ...hold, pod })))
    .sort((a, b) => a.from - b.from)

/** Begins a CPU hog and waits until the stressor is seen from outside. */
async function hold(name: string, seconds: number, env: Json = {}) {
  const cpu = world.watchCpu('dying')
  const task = cpuHog('dying', seconds, { env: { POD_AFFECTED_PERCENTAGE: 1, ...env } })
  const story = await world.run(experiment(name, [task]))
  await story.until('a stressor in a target', 30_000, () =>
    [...cpu.values()].some((w) => w.stressed),
  )
  const first = await story.until('the injection on record', 5000, ({ targets }) =>
    targets.find((t) => t.state === 'injected'),
  )
  return { cpu, story, first }
}

const verdicts = (story: Story): string[] => [
  ...new Set(
    story.history
      .map(({ object }) => object.status?.verdict)
      .filter((v) => v !== undefined && v !== '' && v !== 'Awaited'),
  ),
]

it('a runner that dies in mid-hold is replaced: same deadline, no second injection, one verdict', async () => {
  const { cpu, story, first } = await hold('runner-dies', 8, {
    SEQUENCE: 'serial',
    POD_AFFECTED_PERCENTAGE: 100,
  })
  expect(world.faultPods(story.run.runId).length).toBe(2)
  await delay(1000)
  const [runner] = world.program('runner')
  world.kill(runner, 'runner.cjs')
  const status = await story.finished()
  const [one, two, ...more] = holdsOf(cpu)
  expect(more).toEqual([])
  expect(one?.pod).toBe(first.name)
  expect(two?.pod).not.toBe(first.name)
  expect(Math.abs((one?.to ?? 0) - first.endsAt)).toBeLessThan(punctual)
  expect((two?.to ?? 0) - (two?.from ?? 0)).toBeGreaterThan(7800)
  expect(status).toMatchObject({ verdict: 'Pass', phase: 'Completed' })
  expect(status.run.adoptions).toBe(1)
  expect(status.run.tasks[0].injections).toBe(2)
  expect(verdicts(story)).toEqual(['Pass'])
  const last = () =>
    reportsOf(world.recorder, status.run.runId).filter((r) => r.args.completed === 'true')
  await expect.poll(() => last().length, { timeout: 10_000 }).toBe(1)
  expect(
    reportsOf(world.recorder, status.run.runId).filter((r) => r.data.eventType === 'CREATE').length,
  ).toBe(1)
  expect(await story.residue()).toEqual([])
})

it('a fault program that dies is cleaned up by its guard at once: cut short is an Error', async () => {
  const { cpu, story } = await hold('program-dies', 20)
  const [pod] = world.faultPods(story.run.runId)
  const killed = world.kill(pod, 'fault-pod.cjs')
  const status = await story.finished()
  const [only, ...more] = holdsOf(cpu)
  expect(more).toEqual([])
  expect((only?.to ?? Infinity) - killed).toBeLessThan(guardMs)
  expect(status.verdict).toBe('Error')
  expect(status.tasks[0].failStep).toContain('cut short')
  expect(status.tasks[0].failStep).toContain('the guard undid its injection')
  expect(await story.residue()).toEqual([])
})

it('runner and program killed together: guard and journal clean up alone', async () => {
  const { cpu, story } = await hold('both-die', 20)
  const [pod] = world.faultPods(story.run.runId)
  const [runner] = world.program('runner')
  world.kill(runner, 'runner.cjs')
  const killed = world.kill(pod, 'fault-pod.cjs')
  const status = await story.finished()
  const [only, ...more] = holdsOf(cpu)
  expect(more).toEqual([])
  // Guard, or the journal when the container is started again: either way long before the stressor's own limit.
  expect((only?.to ?? Infinity) - killed).toBeLessThan(4000)
  expect(status.verdict).toBe('Error')
  expect(status.run.adoptions).toBe(1)
  expect(await story.residue()).toEqual([])
})

it('an operator that dies leaves the lead to the other, and the verdict is written', async () => {
  const { cpu, story } = await hold('operator-dies', 6)
  const path = `/apis/coordination.k8s.io/v1/namespaces/${world.installed.namespace}/leases`
  const leader = async (): Promise<string> => {
    const { items } = await world.api.get(path)
    const lease = items.find(({ metadata }: Json) => metadata.name.includes('operator'))
    return lease.spec.holderIdentity
  }
  const before = await leader()
  const pod = world.program('operator').find(({ metadata }) => before.includes(metadata.name))
  const killed = world.kill(pod, 'operator.cjs')
  await expect.poll(leader, { timeout: 10_000, interval: 50 }).not.toBe(before)
  const took = Date.now() - killed
  console.log(`the other operator leads ${took} ms after the kill`)
  expect(took).toBeLessThan(2000)
  const status = await story.finished()
  expect(status).toMatchObject({ verdict: 'Pass', phase: 'Completed', resiliencyScore: 100 })
  expect(holdsOf(cpu).length).toBe(1)
  expect(await story.residue()).toEqual([])
})

it('an API server that dies in mid-hold delays the verdict, not the end of the hold', async () => {
  const { cpu, story, first } = await hold('api-dies', 6)
  await world.cluster.kill('kube-apiserver')
  try {
    await delay(Math.max(0, first.endsAt + punctual + 500 - Date.now()))
    const [only] = holdsOf(cpu)
    expect(Math.abs((only?.to ?? 0) - first.endsAt)).toBeLessThan(punctual)
  } finally {
    await world.cluster.start('kube-apiserver')
  }
  const status = await story.finished()
  expect(status.verdict).toBe('Pass')
  expect(holdsOf(cpu).length).toBe(1)
  expect(await story.residue()).toEqual([])
})
