import { afterAll, beforeAll, expect, it } from 'vitest'
import { demoDocuments } from '../../cli/start/demo.ts'
import { faultContainer } from '../../model/fault-pod-spec.ts'
import { lastWord } from '../../model/last-word.ts'
import type { Json } from '../watchers/api.ts'
import { stressorsOn } from '../watchers/cgroups.ts'
import { arm, type Burnt, crash, hold, lastEnd, whenStressed } from './burnt.ts'
import { cpuHog, experiment, podDelete } from './documents.ts'
import { type Story, World } from './world.ts'

/** While node and API are up, a target is as before within this, milliseconds. */
const cleanMs = 5000
let world: World

beforeAll(async () => {
  world = await World.begin()
  await Promise.all(['leaving', 'rising', 'abiding'].map((app) => world.target(app)))
})
afterAll(async () => {
  try {
    expect(stressorsOn(world.installed.nodes)).toEqual([])
  } finally {
    await world?.end()
  }
})

const burn = (name: string, app: string, env: Json = {}) =>
  experiment(name, [cpuHog(app, 40, { env })])
/** One that is armed for longer than its story lasts, unless something ends it. */
const wait = (name: string, app: string, seconds = 60) => burn(name, app, { RAMP_TIME: seconds })

/** The run says that its target has gone in mid-hold, and leaves nothing. */
async function expectGone({ story }: Burnt): Promise<void> {
  const status = await story.finished()
  expect(status.tasks[0]).toMatchObject({ verdict: 'Error', errorCode: 'CUT_SHORT' })
  expect(story.targets).toMatchObject([{ state: 'reverted', outcome: 'noLongerExists' }])
  expect(await story.residue()).toEqual([])
}

/** The run says that its target went before it was touched, and leaves nothing. */
async function expectMissed({ story, cpu }: Burnt): Promise<void> {
  const status = await story.finished()
  expect(status.tasks[0]).toMatchObject({ verdict: 'Error', errorCode: 'TARGET_SELECTION_ERROR' })
  expect(story.targets).toMatchObject([{ state: 'failed', outcome: 'noLongerExists' }])
  expect(lastEnd(cpu)).toBe(0)
  expect(await story.residue()).toEqual([])
}

it('a pod that is deleted: in mid-hold it no longer exists, armed it was never touched', async () => {
  const held = await hold(world, burn('pod-goes', 'leaving'), 'leaving')
  await world.forceDelete(world.podsOf('leaving')[0])
  await expectGone(held)
  await world.ready('leaving', 1)
  const armed = await arm(world, wait('pod-goes-early', 'leaving', 5), 'leaving')
  await world.forceDelete(world.podsOf('leaving')[0])
  await expectMissed(armed)
})

it('a container that starts again: in mid-hold it no longer exists, armed it was never touched', async () => {
  const held = await hold(world, burn('life-goes', 'rising'), 'rising')
  crash(world, 'rising')
  await expectGone(held)
  await world.ready('rising', 1)
  const armed = await arm(world, wait('life-goes-early', 'rising', 5), 'rising')
  crash(world, 'rising')
  await expectMissed(armed)
})

it('a fault pod that has ended in order says so in its status, for who did not hear it', async () => {
  const document = experiment('last-word', [cpuHog('abiding', 1)], { cleanupPolicy: 'retain' })
  const { story } = await hold(world, document, 'abiding')
  expect((await story.finished()).verdict).toBe('Pass')
  const [pod, ...more] = world.faultPods(story.run.runId)
  expect(more).toEqual([])
  const program = pod.status.containerStatuses.find((one: Json) => one.name === faultContainer)
  expect(program.state.terminated).toMatchObject({ exitCode: 0, message: lastWord })
  await world.forceDelete(pod)
})

/** A namespace with an account `litmus`; `subject` may do in `targets` what experiments do. */
async function namespaceOf(name: string, subject: Json, targets: string): Promise<void> {
  await world.apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } })
  const account = {
    apiVersion: 'v1',
    kind: 'ServiceAccount',
    metadata: { name: 'litmus', namespace: name },
  }
  const binding = {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'RoleBinding',
    metadata: { name: `vanishing-${name}`, namespace: targets },
    roleRef: {
      apiGroup: 'rbac.authorization.k8s.io',
      kind: 'ClusterRole',
      name: 'chaosplane-experiment',
    },
    subjects: [{ kind: 'ServiceAccount', ...subject }],
  }
  await world.apply({ apiVersion: 'v1', kind: 'List', items: [account, binding] })
}

const goneWithin = (path: string, ms: number) =>
  expect.poll(() => world.api.get(path), { timeout: ms, interval: 100 }).toBeUndefined()

/** One pod in a namespace that is about to go. */
async function doom(app: string, namespace: string): Promise<void> {
  const found = demoDocuments({ image: world.installed.image, pullPolicy: 'IfNotPresent' })
    .map(({ body }) => body as Json)
    .find(({ kind }) => kind === 'Deployment')
  const made = JSON.parse(JSON.stringify(found).replaceAll('podtato-hats', app))
  made.metadata.namespace = namespace
  made.spec.replicas = 1
  await world.apply(made)
  await world.ready(app, 1)
}

/** The same experiment, aimed at another namespace. */
function aimedAt(namespace: string, document: Json): Json {
  for (const { definition } of document.spec.tasks)
    definition.targets.selectors.workloads[0].namespace = namespace
  return document
}

it('the namespace of targets: its targets go with it, held, armed or struck again and again', async () => {
  const name = 'vanishing'
  await namespaceOf(name, { name: 'litmus', namespace: 'v2' }, name)
  await Promise.all(['doomed-held', 'doomed-armed', 'doomed-struck'].map((app) => doom(app, name)))
  const [held, armed] = await Promise.all([
    hold(world, aimedAt(name, burn('targets-go', 'doomed-held')), 'doomed-held'),
    arm(world, aimedAt(name, wait('targets-go-early', 'doomed-armed', 18)), 'doomed-armed'),
  ])
  const strikes = experiment('strikes-go', [podDelete('doomed-struck', 30)])
  const struck = await world.run(aimedAt(name, strikes))
  await struck.until('two strikes', 30_000, ({ run }) => run?.tasks[0].injections >= 2)
  const from = Date.now()
  await world.api.remove(`/api/v1/namespaces/${name}`)
  await expectGone(held)
  console.log(`targets-go: run over ${Date.now() - from} ms after the deletion of their namespace`)
  await Promise.all([expectMissed(armed), struck.finished()])
  console.log(`strikes-go: ${JSON.stringify(struck.status.tasks)}`)
  expect(await struck.residue()).toEqual([])
  await goneWithin(`/api/v1/namespaces/${name}`, 60_000)
})

/** When the API was first seen to delete the resource, unix milliseconds. */
const deletionOf = ({ story }: Burnt): number =>
  story.history.find(({ object }) => object.metadata.deletionTimestamp)?.at ?? 0

it('its own namespace: what is held is put back, what is armed is let be, and the resource leaves', async () => {
  const name = 'vanishing-run'
  await namespaceOf(name, { name: 'litmus', namespace: name }, 'demo')
  const inHome = (document: Json): Json => {
    document.metadata.namespace = name
    return document
  }
  const [held, armed] = await Promise.all([
    hold(world, inHome(burn('home-goes', 'abiding')), 'abiding'),
    arm(world, inHome(wait('home-goes-early', 'leaving')), 'leaving'),
  ])
  const runs = [held, armed].map(({ story }) => story.run.runId)
  const from = Date.now()
  await world.api.remove(`/api/v1/namespaces/${name}`)
  await whenStressed(held.cpu, false, 30_000)
  const gone = (story: Story) => goneWithin(story.path, cleanMs + 5000)
  await Promise.all([gone(held.story), gone(armed.story)])
  // kube-controller-manager leaves what is in a namespace alone for the first 5 s of its deletion.
  const deleted = deletionOf(held)
  console.log(
    `home-goes: resource deleted after ${deleted - from} ms, clean after ${lastEnd(held.cpu) - from} ms, gone after ${Date.now() - from} ms`,
  )
  expect(deleted).toBeGreaterThan(0)
  expect(lastEnd(held.cpu) - deleted).toBeLessThan(cleanMs)
  expect(lastEnd(armed.cpu)).toBe(0)
  await goneWithin(`/api/v1/namespaces/${name}`, 60_000)
  console.log(`home-goes: namespace gone after ${Date.now() - from} ms`)
  for (const run of runs)
    await expect.poll(() => world.residueOf(run, []), { timeout: 10_000 }).toEqual([])
})
