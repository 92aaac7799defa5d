import { afterAll, afterEach, beforeAll, expect, it } from 'vitest'
import { demoDocuments } from '../../cli/start/demo.ts'
import type { Component } from '../cluster/cluster.ts'
import type { Json } from '../watchers/api.ts'
import { stressorsOn } from '../watchers/cgroups.ts'
import { cpuHog, experiment } from './documents.ts'
import { type Story, World } from './world.ts'

const abandon = 'chaos.chaosplane.io/abandon'
let world: World
/** the node without the runner: its kubelet may be killed */
let far = ''
const stopped = new Set<Component>()

beforeAll(async () => {
  world = await World.begin()
  const [runner] = world.program('runner')
  far = world.installed.nodes.find((node) => node !== runner.spec.nodeName) ?? ''
  await world.target('far-away', 1, { nodeSelector: { 'kubernetes.io/hostname': far } })
})
afterEach(async () => {
  for (const component of stopped) await world.cluster.start(component)
  stopped.clear()
  await nodeReady()
})
afterAll(async () => {
  try {
    expect(stressorsOn(world.installed.nodes)).toEqual([])
  } finally {
    await world?.end()
  }
})

const nodeReady = () =>
  expect
    .poll(
      async () => {
        const node = await world.api.get(`/api/v1/nodes/${far}`)
        return node?.status.conditions?.find((c: Json) => c.type === 'Ready')?.status
      },
      { timeout: 90_000 },
    )
    .toBe('True')

async function hold(document: Json, app: string) {
  const cpu = world.watchCpu(app)
  const story = await world.run(document)
  await story.until('a stressor in the target', 60_000, () =>
    [...cpu.values()].some((watch) => watch.stressed),
  )
  await story.injected()
  return { cpu, story }
}
type Held = Awaited<ReturnType<typeof hold>>
const lastEnd = ({ cpu }: Held): number =>
  Math.max(...[...cpu.values()].flatMap((w) => w.holds().map(({ to }) => to ?? Infinity)))

async function killKubelet(): Promise<void> {
  const component: Component = `kubelet:${far}`
  stopped.add(component)
  await world.cluster.kill(component)
}

const conditionOf = ({ status }: Story, type: string): Json =>
  status.conditions?.find((c: Json) => c.type === type)

/** Events of an experiment, by reason. */
async function eventOf({ object }: Story, reason: string): Promise<Json> {
  const { namespace, uid } = object.metadata
  const { items } = await world.api.get(`/apis/events.k8s.io/v1/namespaces/${namespace}/events`)
  return items.find((e: Json) => e.regarding.uid === uid && e.reason === reason)
}

it('a target that is deleted in mid-hold no longer exists', async () => {
  const held = await hold(experiment('target-goes', [cpuHog('far-away', 30)]), 'far-away')
  const [pod] = world.podsOf('far-away')
  await world.forceDelete(pod)
  const status = await held.story.finished()
  expect(status.tasks[0]).toMatchObject({ verdict: 'Error', errorCode: 'CUT_SHORT' })
  expect(held.story.targets).toMatchObject([{ state: 'reverted', outcome: 'noLongerExists' }])
  await world.ready('far-away', 1)
  expect(await held.story.residue()).toEqual([])
})

/** A namespace with an account that may do everything in the namespace of the targets. */
async function namespaceOf(name: string, subject: Json, targets: string): Promise<void> {
  const binding = {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'RoleBinding',
    metadata: { name: `vanishing-${name}`, namespace: targets },
    roleRef: {
      apiGroup: 'rbac.authorization.k8s.io',
      kind: 'ClusterRole',
      name: 'chaosplane-experiment',
    },
    subjects: [subject],
  }
  const namespace = { apiVersion: 'v1', kind: 'Namespace', metadata: { name } }
  await world.apply(namespace)
  const account = {
    apiVersion: 'v1',
    kind: 'ServiceAccount',
    metadata: { name: 'litmus', namespace: name },
  }
  await world.apply({ apiVersion: 'v1', kind: 'List', items: [account, binding] })
}

const goneWithin = (path: string, ms: number) =>
  expect.poll(async () => await world.api.get(path), { timeout: ms }).toBeUndefined()

it('a namespace of targets that is deleted takes its targets along, and nothing hangs', async () => {
  const subject = { kind: 'ServiceAccount', name: 'litmus', namespace: 'v2' }
  await namespaceOf('vanishing', subject, 'vanishing')
  const found = demoDocuments({ image: world.installed.image, pullPolicy: 'IfNotPresent' })
    .map(({ body }) => body as Json)
    .find(({ kind }) => kind === 'Deployment')
  const app = JSON.parse(JSON.stringify(found).replaceAll('podtato-hats', 'doomed'))
  app.metadata.namespace = 'vanishing'
  app.spec.replicas = 1
  await world.apply(app)
  await world.ready('doomed', 1)
  const document = experiment('namespace-goes', [cpuHog('doomed', 30)])
  const [{ definition }] = (document.spec as Json).tasks
  definition.targets.selectors.workloads[0].namespace = 'vanishing'
  const held = await hold(document, 'doomed')
  const from = Date.now()
  await world.api.remove('/api/v1/namespaces/vanishing')
  const status = await held.story.finished()
  console.log(`run over ${Date.now() - from} ms after the deletion of the targets' namespace`)
  expect(status.verdict).toBe('Error')
  expect(held.story.targets).toMatchObject([{ state: 'reverted', outcome: 'noLongerExists' }])
  await goneWithin('/api/v1/namespaces/vanishing', 60_000)
  expect(await held.story.residue()).toEqual([])
})

it('an experiment whose own namespace is deleted puts back and lets go', async () => {
  const subject = { kind: 'ServiceAccount', name: 'litmus', namespace: 'vanishing-run' }
  await namespaceOf('vanishing-run', subject, 'demo')
  const document: Json = experiment('home-goes', [cpuHog('far-away', 30)])
  document.metadata.namespace = 'vanishing-run'
  const held = await hold(document, 'far-away')
  const { runId } = held.story.run
  const from = Date.now()
  await world.api.remove('/api/v1/namespaces/vanishing-run')
  await held.story.until('the CPU back', 5000, () =>
    [...held.cpu.values()].every((w) => !w.stressed),
  )
  expect(lastEnd(held) - from).toBeLessThan(5000)
  await goneWithin(held.story.path, 20_000)
  console.log(`resource gone ${Date.now() - from} ms after the deletion of its namespace`)
  await goneWithin('/api/v1/namespaces/vanishing-run', 60_000)
  console.log(`namespace gone after ${Date.now() - from} ms`)
  await expect.poll(() => world.residueOf(runId, []), { timeout: 10_000 }).toEqual([])
})

it('a node whose kubelet is away: put back at its deadline, owed until it is back, then proven', async () => {
  const held = await hold(experiment('kubelet-goes', [cpuHog('far-away', 8)]), 'far-away')
  const { story } = held
  const { endsAt } = story.targets[0]
  await killKubelet()
  await story.until('the CPU back', 15_000, () => [...held.cpu.values()].every((w) => !w.stressed))
  expect(lastEnd(held) - endsAt).toBeLessThan(2000)
  await story.until('owed', 60_000, ({ targets }) => targets[0].state === 'owed')
  const stuck = await story.until('stuck', 10_000, (s) => conditionOf(s, 'Stuck'))
  expect(stuck.message).toContain(far)
  expect(stuck.message).toContain('go-*.sh')
  await world.cluster.start(`kubelet:${far}`)
  stopped.clear()
  const status = await story.finished(90_000)
  expect(status.verdict).toBe('Error')
  expect(story.targets).toMatchObject([{ state: 'reverted' }])
  expect(conditionOf(story, 'Stuck')).toBeUndefined()
  expect(await story.residue()).toEqual([])
})

it('what cannot be put back is given up with a reason, and the resource is let go', async () => {
  const held = await hold(experiment('given-up', [cpuHog('far-away', 5)]), 'far-away')
  const { story } = held
  await killKubelet()
  await story.until('owed', 60_000, ({ targets }) => targets[0].state === 'owed')
  const annotate = (value: string) =>
    world.api.patch(story.path, { metadata: { annotations: { [abandon]: value } } })
  await annotate('')
  await expect.poll(() => eventOf(story, 'AbandonRefused'), { timeout: 10_000 }).toBeDefined()
  expect(story.object.metadata.finalizers).not.toEqual([])
  await annotate('the node burned')
  const from = Date.now()
  const status = await story.finished(30_000)
  console.log(`let go ${Date.now() - from} ms after it was given up`)
  expect(status.verdict).toBe('Error')
  expect(status.run.abandoned).toMatchObject({ reason: 'the node burned' })
  const [target] = story.targets
  expect(target).toMatchObject({ state: 'abandoned', node: far })
  expect(target.remaining[0]).toContain(`/var/lib/chaosplane/${world.clusterId}/${far}/`)
  expect(conditionOf(story, 'Abandoned').message).toContain('the node burned')
  await expect.poll(() => eventOf(story, 'Abandoned'), { timeout: 10_000 }).toBeDefined()
  expect(story.object.metadata.annotations?.[abandon]).toBeUndefined()
})

it('a node that is taken out of the cluster takes its targets along', async () => {
  const held = await hold(experiment('node-goes', [cpuHog('far-away', 15)]), 'far-away')
  const { story } = held
  const { endsAt } = story.targets[0]
  await killKubelet()
  const from = Date.now()
  await world.api.remove(`/api/v1/nodes/${far}`)
  const status = await story.finished(90_000)
  console.log(`run over ${Date.now() - from} ms after the deletion of the node`)
  expect(status.verdict).toBe('Error')
  expect(story.targets).toMatchObject([{ state: 'reverted', outcome: 'noLongerExists' }])
  expect(story.object.metadata.finalizers ?? []).toEqual([])
  // the machine itself keeps the deadline
  await expect
    .poll(() => [...held.cpu.values()].every((w) => !w.stressed), { timeout: 30_000 })
    .toBe(true)
  expect(lastEnd(held) - endsAt).toBeLessThan(2000)
})
