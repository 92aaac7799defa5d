import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { Json } from '../../watchers/api.ts'
import type { CpuWatch } from '../../watchers/cgroups.ts'
import { reportsOf } from '../../watchers/peers.ts'
import { cpuHog, experiment, podDelete } from '../documents.ts'
import { type Story, World } from '../world.ts'

/** From the annotation to a clean target and back, on a busy machine, milliseconds. */
const soon = 2500
const seconds = 8
const pauseKey = 'chaos.chaosplane.io/pause'
const taint = { key: 'paused-story', value: 'on', effect: 'NoSchedule' }
let world: World

beforeAll(async () => {
  world = await World.begin()
  await Promise.all(
    ['twice', 'orphaned', 'podless', 'ended', 'late', 'victim'].map((app) => world.target(app)),
  )
  await world.apply({
    apiVersion: 'v1',
    kind: 'List',
    items: [
      {
        apiVersion: 'rbac.authorization.k8s.io/v1',
        kind: 'ClusterRole',
        metadata: { name: 'pause-story' },
        rules: [{ apiGroups: [''], resources: ['nodes'], verbs: ['get', 'list', 'patch'] }],
      },
      {
        apiVersion: 'rbac.authorization.k8s.io/v1',
        kind: 'ClusterRoleBinding',
        metadata: { name: 'pause-story' },
        roleRef: {
          apiGroup: 'rbac.authorization.k8s.io',
          kind: 'ClusterRole',
          name: 'pause-story',
        },
        subjects: [{ kind: 'ServiceAccount', name: 'litmus', namespace: 'v2' }],
      },
    ],
  })
})
afterAll(() => world?.end())

const annotate = (story: Story, value: string | null) =>
  world.api.patch(story.path, { metadata: { annotations: { [pauseKey]: value } } })
const conditionOf = (story: Story): string | undefined => {
  const found = story.status.conditions?.find((c: Json) => c.type === 'Paused')
  return found && `${found.status} ${found.reason}`
}
const eventsOf = async (story: Story): Promise<string[]> => {
  const { items } = await world.api.get('/apis/events.k8s.io/v1/namespaces/v2/events')
  return items
    .filter(({ regarding }: Json) => regarding.uid === story.object.metadata.uid)
    .map(({ reason }: Json) => reason)
}
function cpuOf(app: string): CpuWatch {
  const [watch] = world.watchCpu(app).values()
  if (!watch) throw new Error(`no pod of ${app}`)
  return watch
}
const held = (cpu: CpuWatch): number =>
  cpu.holds().reduce((sum, { from, to }) => sum + ((to ?? Date.now()) - from), 0)
const recorded = ({ targets }: Story): number =>
  targets.reduce((sum, { heldMs }: Json) => sum + (heldMs ?? 0), 0)

async function burning(name: string, app: string): Promise<{ story: Story; cpu: CpuWatch }> {
  const cpu = cpuOf(app)
  const story = await world.run(experiment(name, [cpuHog(app, seconds)]))
  await story.injected()
  await delay(2000)
  return { story, cpu }
}

async function pause(story: Story, cpu: CpuWatch): Promise<void> {
  const at = Date.now()
  await annotate(story, 'true')
  await expect.poll(() => cpu.stressed, { timeout: soon, interval: 20 }).toBe(false)
  console.log(
    `${story.path.split('/').at(-1)}: pause to clean ${(cpu.holds().at(-1)?.to ?? 0) - at} ms`,
  )
  await story.until('a paused run, clean', 5000, ({ run, targets }) => {
    return run.paused && targets.every((t) => ['reverted', 'untouched'].includes(t.state))
  })
}

async function resume(story: Story, cpu: CpuWatch): Promise<void> {
  const at = Date.now()
  await annotate(story, 'false')
  await expect.poll(() => cpu.stressed, { timeout: 2 * soon, interval: 20 }).toBe(true)
  console.log(
    `${story.path.split('/').at(-1)}: resume to CPU ${(cpu.holds().at(-1)?.from ?? 0) - at} ms`,
  )
}

function heldAsAsked(story: Story, cpu: CpuWatch, times: number): void {
  console.log(
    `${story.path.split('/').at(-1)}: held ${cpu.holds().length} times, ${held(cpu)} ms seen, ${recorded(story)} ms recorded`,
  )
  expect(cpu.holds().length).toBe(times)
  expect(Math.abs(recorded(story) - seconds * 1000)).toBeLessThan(500)
  // A stressor is there before its effect is, by up to half a second, and until it has died.
  expect(Math.abs(held(cpu) - seconds * 1000)).toBeLessThan(500 + times * 700)
}

it('two pauses: CPU back at once, up again for what is left, in the same fault pod', async () => {
  const { story, cpu } = await burning('paused-twice', 'twice')
  await pause(story, cpu)
  await delay(3000)
  expect(cpu.stressed).toBe(false)
  await expect.poll(() => conditionOf(story), { timeout: 5000 }).toBe('True PauseRequested')
  expect(story.status).toMatchObject({ phase: 'Running', run: { pauses: 1 } })
  const pods = world.faultPods(story.run.runId).map(({ metadata }) => metadata.uid)
  await resume(story, cpu)
  await delay(1500)
  await pause(story, cpu)
  await delay(1000)
  await resume(story, cpu)
  expect(world.faultPods(story.run.runId).map(({ metadata }) => metadata.uid)).toEqual(pods)
  const status = await story.finished()
  expect(status).toMatchObject({ verdict: 'Pass', phase: 'Completed' })
  expect(status.run.tasks[0]).toMatchObject({ injections: 3 })
  expect(conditionOf(story)).toBe('False Resumed')
  heldAsAsked(story, cpu, 3)
  // The same words again raise the count of an Event.
  expect(await eventsOf(story)).toEqual(expect.arrayContaining(['Paused', 'Resumed']))
  const phases = reportsOf(world.recorder, status.run.runId).map(({ data }) => data.phase)
  expect([...new Set(phases.slice(0, -1))]).toEqual(['Running'])
  // A used annotation does not pause the next run.
  expect(story.object.metadata.annotations?.[pauseKey]).toBeUndefined()
  expect(await story.residue()).toEqual([])
})

it('a runner that dies while the run is paused: the next one keeps it paused, and resumes it', async () => {
  const { story, cpu } = await burning('paused-orphan', 'orphaned')
  await pause(story, cpu)
  const [runner] = world.program('runner')
  world.kill(runner, 'runner.cjs')
  await story.until('another runner', 30_000, ({ run }) => run.adoptions === 1)
  await delay(2000)
  expect(cpu.holds().length).toBe(1)
  expect(cpu.stressed).toBe(false)
  expect(story.run.paused).toBeDefined()
  await resume(story, cpu)
  expect(await story.finished()).toMatchObject({ verdict: 'Pass', phase: 'Completed' })
  heldAsAsked(story, cpu, 2)
  expect(await story.residue()).toEqual([])
})

it('a fault pod that goes while the run is paused is replaced at the resume', async () => {
  const { story, cpu } = await burning('paused-podless', 'podless')
  await pause(story, cpu)
  const [pod] = world.faultPods(story.run.runId)
  const path = `/api/v1/namespaces/${pod.metadata.namespace}/pods/${pod.metadata.name}`
  await world.api.remove(`${path}?gracePeriodSeconds=0`)
  await delay(1500)
  const at = Date.now()
  await annotate(story, null)
  await expect.poll(() => cpu.stressed, { timeout: 15_000, interval: 20 }).toBe(true)
  console.log(`paused-podless: resume to CPU with a new pod ${Date.now() - at} ms`)
  expect(await story.finished()).toMatchObject({ verdict: 'Pass', phase: 'Completed' })
  heldAsAsked(story, cpu, 2)
  expect(await story.residue()).toEqual([])
})

it('an abort ends a paused run, and nothing is injected again', async () => {
  const { story, cpu } = await burning('paused-ended', 'ended')
  await pause(story, cpu)
  await story.abort()
  const status = await story.finished()
  expect(status).toMatchObject({ phase: 'Stopped', verdict: 'Stopped' })
  expect(status.run.pausedMs).toBeGreaterThan(0)
  expect(cpu.holds().length).toBe(1)
  expect(conditionOf(story)).toBe('False RunEnded')
  expect(await story.residue()).toEqual([])
})

it('paused from the start, a run begins nothing; what strikes at once says that it goes on', async () => {
  const cpu = cpuOf('late')
  const document: Json = experiment('paused-late', [podDelete('victim', 5), cpuHog('late', 3)])
  document.metadata.annotations = { [pauseKey]: 'true' }
  const [victim] = world.podsOf('victim')
  const story = await world.run(document)
  await story.until('a paused run', 10_000, ({ run }) => run?.paused)
  await delay(3000)
  expect(world.podsOf('victim')[0]?.metadata.uid).toBe(victim?.metadata.uid)
  expect(story.run.tasks.map((t: Json) => t.stage)).toEqual(['pending', 'pending'])
  await annotate(story, null)
  await story.until('a strike', 20_000, ({ run }) => run.tasks[0].injections > 0)
  await annotate(story, 'true')
  await story.until(
    'the end of the strikes',
    30_000,
    ({ run }) => run.tasks[0].stage === 'ramp-down',
  )
  expect(story.run.tasks[0].injections).toBeGreaterThan(1)
  await delay(1000)
  expect(story.run.tasks.map((t: Json) => t.stage)).toEqual(['ramp-down', 'pending'])
  await annotate(story, null)
  expect(await story.finished()).toMatchObject({ verdict: 'Pass', phase: 'Completed' })
  expect(cpu.holds().length).toBe(1)
  expect(await eventsOf(story)).toContain('NotPaused')
  expect(await story.residue()).toEqual([])
})

it('what is held through the API is put back and held again with an undo of its own', async () => {
  const [node] = world.installed.nodes
  const path = `/api/v1/nodes/${node}`
  const tainted = async (): Promise<boolean> =>
    ((await world.api.get(path)).spec.taints ?? []).some((t: Json) => t.key === taint.key)
  const task = {
    name: 'taint',
    fault: 'node-taint',
    target: '',
    env: {
      TOTAL_CHAOS_DURATION: seconds,
      TAINTS: `${taint.key}=${taint.value}:${taint.effect}`,
      TARGET_NODE: node as string,
    },
  }
  const before = (await world.api.get(path)).spec.taints
  const document: Json = experiment('paused-taint', [task])
  delete document.spec.tasks[0].definition.targets
  const story = await world.run(document)
  await story.injected()
  expect(await tainted()).toBe(true)
  await delay(2000)
  await annotate(story, 'true')
  await expect.poll(tainted, { timeout: soon, interval: 50 }).toBe(false)
  await story.until('a revert on record', 5000, ({ targets }) => targets[0].state === 'reverted')
  await delay(2000)
  expect(await tainted()).toBe(false)
  await annotate(story, null)
  await expect.poll(tainted, { timeout: 2 * soon, interval: 50 }).toBe(true)
  expect(await story.finished()).toMatchObject({ verdict: 'Pass', phase: 'Completed' })
  expect((await world.api.get(path)).spec.taints).toEqual(before)
  expect(story.targets.map((t) => [t.id, t.round, t.outcome])).toEqual([
    [`node/${node}`, undefined, 'restored'],
    [`node/${node}`, 1, 'restored'],
  ])
  expect(Math.abs(recorded(story) - seconds * 1000)).toBeLessThan(500)
})
