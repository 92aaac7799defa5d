import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { Json } from '../../watchers/api.ts'
import { stressorsOn } from '../../watchers/cgroups.ts'
import { lastEnd, type Watch, whenStressed } from '../burnt.ts'
import { cpuHog, experiment } from '../documents.ts'
import { type Story, World } from '../world.ts'

/** While node and API are up, a target is as before within this after whatever kill, milliseconds. */
const cleanMs = 5000
const away = 'chaos.chaosplane.io'
let world: World

beforeAll(async () => {
  world = await World.begin()
  await world.target('prey')
})
afterAll(async () => {
  try {
    expect(stressorsOn(world.installed.nodes)).toEqual([])
  } finally {
    await world?.end()
  }
})

/** The newest fault pod of the run. */
function newest(story: Story): Json {
  const attempt = ({ metadata }: Json) => Number(metadata.labels[`${away}/attempt`])
  const pods = world.faultPods(story.run.runId)
  return pods.sort((a, b) => attempt(b) - attempt(a))[0]
}

/** Begins a CPU hog; with `rampSeconds` it is armed for so long before it holds. */
async function begin(name: string, { holdSeconds = 30, rampSeconds = 0 } = {}) {
  const cpu = world.watchCpu('prey')
  const env = rampSeconds > 0 ? { RAMP_TIME: rampSeconds } : {}
  const story = await world.run(experiment(name, [cpuHog('prey', holdSeconds, { env })]))
  return { cpu, story }
}

const stressed = (cpu: Watch) => whenStressed(cpu, true, 60_000)

/** Begins a CPU hog and waits until it is on record as injected. */
async function hold(name: string, holdSeconds = 30) {
  const { cpu, story } = await begin(name, { holdSeconds })
  await stressed(cpu)
  await story.injected()
  return { cpu, story, pod: newest(story) }
}

/** The target is as before in time; the run says what happened; nothing is left. */
async function expectCleaned({ cpu, story, from }: { cpu: Watch; story: Story; from: number }) {
  await whenStressed(cpu, false, 30_000)
  console.log(`${story.path.split('/').at(-1)}: clean after ${lastEnd(cpu) - from} ms`)
  expect(lastEnd(cpu) - from).toBeLessThan(cleanMs)
  const status = await story.finished(90_000)
  expect(status.verdict).toBe('Error')
  expect(status.tasks[0].errorCode).toBe('CUT_SHORT')
  expect(status.run.tasks[0].injections).toBe(1)
  expect(story.targets.map(({ state }) => state)).toEqual(['reverted'])
  expect(story.targets[0].heldMs).toBeLessThan(lastEnd(cpu) - story.targets[0].injectedAt + 3000)
  expect(await story.residue()).toEqual([])
}

const killBoth = (pod: Json): number => {
  world.kill(pod, 'guard.sh')
  return world.kill(pod, 'fault-pod.cjs')
}
let isRunnerWorn = false
function killRunner(): void {
  const [runner] = world.program('runner')
  world.kill(runner, 'runner.cjs')
  isRunnerWorn = true
}
afterEach(async () => {
  if (isRunnerWorn) await world.freshRunner()
  isRunnerWorn = false
})

describe('killed in mid-hold, the target is as before within 5 s', () => {
  it('the guard alone: the hold goes on to its end', async () => {
    const { cpu, story, pod } = await hold('guard-dies', 5)
    world.kill(pod, 'guard.sh')
    const { endsAt } = story.targets[0]
    const status = await story.finished()
    expect(status.verdict).toBe('Pass')
    expect(lastEnd(cpu)).toBeGreaterThan(endsAt - 100)
    expect(await story.residue()).toEqual([])
  })

  it('program and guard', async () => {
    const { cpu, story, pod } = await hold('pair-dies')
    await expectCleaned({ cpu, story, from: killBoth(pod) })
  })

  it('the pod, by a force delete', async () => {
    const { cpu, story, pod } = await hold('pod-dies')
    const from = await world.forceDelete(pod)
    await expectCleaned({ cpu, story, from })
  })

  it('program, guard and runner', async () => {
    const { cpu, story, pod } = await hold('trio-dies')
    killRunner()
    await expectCleaned({ cpu, story, from: killBoth(pod) })
  })

  it('pod and runner', async () => {
    const { cpu, story, pod } = await hold('pod-and-runner-die')
    killRunner()
    const from = await world.forceDelete(pod)
    await expectCleaned({ cpu, story, from })
  })
})

/** Kills program and guard of the newest pod whenever a target is armed, so many times. It is armed once more then. */
async function wearOut(story: Story, times: number): Promise<void> {
  const armed = (count: number) =>
    story.until(`${count} times armed`, 40_000, ({ run }) => run && world.armed(run.runId) >= count)
  for (let n = 1; n <= times; n++) {
    await armed(n)
    killBoth(newest(story))
  }
  await armed(times + 1)
}

/** Asks for so many runners. */
const runners = (replicas: number) => {
  const { namespace } = world.installed
  const path = `/apis/apps/v1/namespaces/${namespace}/deployments/chaosplane-runner/scale`
  return world.api.patch(path, { spec: { replicas } })
}

/** Reasons of the Events about an experiment. */
async function reasonsOf(story: Story): Promise<string[]> {
  const { items } = await world.api.get('/apis/events.k8s.io/v1/namespaces/v2/events')
  const mine = items.filter((e: Json) => e.regarding.uid === story.object.metadata.uid)
  return mine.map(({ reason }: Json) => reason)
}

describe('nobody waits for the back-off of kubelet', () => {
  it('program and guard for the second time', async () => {
    const { cpu, story } = await begin('second-death', { rampSeconds: 12 })
    await wearOut(story, 1)
    await stressed(cpu)
    await story.injected()
    await expectCleaned({ cpu, story, from: killBoth(newest(story)) })
  })

  it('program and guard for the fourth time, of the second pod for the second', async () => {
    const { cpu, story } = await begin('fourth-death', { rampSeconds: 25 })
    await wearOut(story, 3)
    await stressed(cpu)
    await story.injected()
    expect(Number(newest(story).metadata.labels[`${away}/attempt`])).toBeGreaterThan(1)
    await expectCleaned({ cpu, story, from: killBoth(newest(story)) })
  })

  it('program and guard for the second time, and the runner: the operator makes the pod', async () => {
    const { cpu, story } = await begin('second-death-alone', { rampSeconds: 12 })
    await wearOut(story, 1)
    await stressed(cpu)
    await story.injected()
    const pod = newest(story)
    const [runner] = world.program('runner')
    try {
      // One that is started again in a second may be quicker than the operator.
      await runners(0)
      world.kill(runner, 'runner.cjs')
      const from = killBoth(pod)
      await whenStressed(cpu, false, 30_000)
      await expect.poll(() => reasonsOf(story), { timeout: 5000 }).toContain('RecoveryPodCreated')
      await runners(1)
      await expectCleaned({ cpu, story, from })
    } finally {
      await runners(1)
    }
  })
})

describe('taken away', () => {
  it('evicted: put back within a second, and the run says that it was cut short', async () => {
    const { cpu, story, pod } = await hold('evicted')
    const { name, namespace } = pod.metadata
    const from = Date.now()
    await world.api.create(`/api/v1/namespaces/${namespace}/pods/${name}/eviction`, {
      apiVersion: 'policy/v1',
      kind: 'Eviction',
      metadata: { name, namespace },
    })
    await whenStressed(cpu, false, 5000)
    expect(lastEnd(cpu) - from).toBeLessThan(1500)
    await expectCleaned({ cpu, story, from })
    expect((await story.finished()).tasks[0].failStep).toContain('evicted')
  })

  it('evicted while armed: another one is armed in its place, and the hold comes', async () => {
    const { cpu, story } = await begin('evicted-early', { holdSeconds: 4, rampSeconds: 8 })
    await wearOut(story, 0)
    const { name, namespace } = newest(story).metadata
    await world.api.remove(`/api/v1/namespaces/${namespace}/pods/${name}`)
    await stressed(cpu)
    const status = await story.finished()
    expect(status.verdict).toBe('Pass')
    expect(await story.residue()).toEqual([])
  })
})

describe('refused by what admits pods', () => {
  const namespaceOf = () => `/api/v1/namespaces/${world.installed.namespace}`

  it('a ResourceQuota: an Error that says what to raise, and nothing is injected', async () => {
    const path = `${namespaceOf()}/resourcequotas`
    await world.api.create(path, {
      apiVersion: 'v1',
      kind: 'ResourceQuota',
      metadata: { name: 'no-fault-pods' },
      spec: {
        hard: { pods: '0' },
        scopeSelector: {
          matchExpressions: [
            { scopeName: 'PriorityClass', operator: 'In', values: ['chaosplane-fault-pods'] },
          ],
        },
      },
    })
    try {
      await delay(1500)
      const { cpu, story } = await begin('quota')
      const status = await story.finished()
      expect(status.verdict).toBe('Error')
      expect(status.tasks[0]).toMatchObject({ errorCode: 'HELPER_ERROR' })
      expect(status.tasks[0].failStep).toMatch(/exceeded quota.*Raise the ResourceQuota/)
      expect(lastEnd(cpu)).toBe(0)
      expect(await story.residue()).toEqual([])
    } finally {
      await world.api.remove(`${path}/no-fault-pods`)
    }
  })

  const enforce = (namespace: string, level: string | null) =>
    world.api.patch(`/api/v1/namespaces/${namespace}`, {
      metadata: { labels: { 'pod-security.kubernetes.io/enforce': level } },
    })

  it('Pod Security of the product: an Error that says which label it needs', async () => {
    const { namespace } = world.installed
    await enforce(namespace, 'restricted')
    try {
      const { cpu, story } = await begin('restricted')
      const status = await story.finished()
      expect(status.tasks[0]).toMatchObject({ errorCode: 'HELPER_ERROR' })
      expect(status.tasks[0].failStep).toContain(
        `kubectl label namespace ${namespace} --overwrite pod-security.kubernetes.io/enforce=privileged`,
      )
      expect(lastEnd(cpu)).toBe(0)
      expect(await story.residue()).toEqual([])
    } finally {
      await enforce(namespace, null)
    }
  })

  it('Pod Security of the target is no obstacle', async () => {
    await enforce('demo', 'restricted')
    try {
      const { story } = await hold('restricted-target', 3)
      expect((await story.finished()).verdict).toBe('Pass')
      expect(await story.residue()).toEqual([])
    } finally {
      await enforce('demo', null)
    }
  })
})
