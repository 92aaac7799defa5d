import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { systemClock } from '../../lib/clock.ts'
import { createKubeClient, type KubeClient } from '../../lib/kube/client.ts'
import { loadKubeConfig } from '../../lib/kube/config.ts'
import {
  chaosExperiments,
  events,
  namespaces,
  pods,
  resourcePath,
  serviceAccounts,
} from '../../lib/kube/paths.ts'
import type { KubeObject } from '../../lib/kube/types.ts'
import { silentLog } from '../../lib/log.ts'
import { claimAnnotation } from '../../model/runner-life.ts'
import { bytesOf, maxRunBytes } from '../../model/snapshot.ts'
import type { RunState, TaskState } from '../../model/state.ts'
import { apiServer } from '../../test-e2e/setup/worker.ts'
import { runState, target, taskState } from '../engine/testing.ts'
import { runRunner } from '../program.ts'
import { settingsFrom } from '../settings.ts'
import { StatusKeeper } from './keeper.ts'
import { type Experiment, resourceOf } from './resource.ts'

const namespace = 'record-tests'
/** of the runner: nothing is ever hit there */
const home = 'record-tests-runner'
const me = { pod: 'runner-1', instance: 'life-1' }
const call = { signal: AbortSignal.timeout(240_000) }
const rbac = { group: 'rbac.authorization.k8s.io', version: 'v1' }
const admission = { group: 'admissionregistration.k8s.io', version: 'v1' }
let kube: KubeClient

const place = (name: string, subresource?: string) =>
  resourcePath({ ...chaosExperiments, namespace, name, ...(subresource ? { subresource } : {}) })

const experiment = (name: string, app: string, over: object = {}) => ({
  apiVersion: 'chaos.chaosplane.io/v1alpha1',
  kind: 'ChaosExperiment',
  metadata: { name, namespace, annotations: { [claimAnnotation]: `${me.pod}/${me.instance}` } },
  spec: {
    target: { kind: 'Pod', namespace, labelSelector: { matchLabels: { app } } },
    action: { type: 'pod-kill', parameters: {} },
    duration: '3s',
    ...over,
  },
})
const create = (name: string, app: string, over: object = {}) =>
  kube.create<Experiment>(
    resourcePath({ ...chaosExperiments, namespace }),
    experiment(name, app, over),
    call,
  )

function keeperOf(object: KubeObject, room = maxRunBytes) {
  const refusals: string[] = []
  const keeper: StatusKeeper = new StatusKeeper({
    kube,
    resource: resourceOf('ChaosExperiment', object),
    me,
    clock: systemClock,
    log: silentLog(),
    claimed: Promise.resolve(),
    onLoss: (why) => refusals.push(`lost: ${why}`),
    room,
    onRefused: (why) => refusals.push(why),
  })
  keeper.saw(object)
  return { keeper, refusals }
}
const stored = async (name: string) =>
  (await kube.get<Experiment>(place(name), call)).status?.run as RunState
const soon = () => AbortSignal.timeout(30_000)

async function until(look: () => Promise<boolean> | boolean, ms = 30_000): Promise<void> {
  for (const end = Date.now() + ms; !(await look()); )
    if (Date.now() > end) throw new Error(`not within ${ms} ms`)
    else await new Promise((done) => setTimeout(done, 50))
}

beforeAll(async () => {
  const config = loadKubeConfig({ file: apiServer().kubeconfig, env: {} })
  kube = createKubeClient({ config, userAgent: 'tests/1' })
  for (const name of [namespace, home])
    await kube.create(resourcePath(namespaces), { metadata: { name } }, call)
  const account = { metadata: { name: 'chaosplane-experiment' } }
  await kube.create(resourcePath({ ...serviceAccounts, namespace }), account, call)
  const binding = {
    metadata: { name: 'record-tests' },
    roleRef: { apiGroup: rbac.group, kind: 'ClusterRole', name: 'cluster-admin' },
    subjects: [{ kind: 'ServiceAccount', name: 'chaosplane-experiment', namespace }],
  }
  await kube.create(resourcePath({ ...rbac, plural: 'clusterrolebindings' }), binding, call)
})
afterAll(() => kube?.close())

describe('a record that is too large', () => {
  const long = 'x'.repeat(400)
  const done = (i: number): TaskState =>
    taskState(`t${i}`, {
      stage: 'done',
      wave: 1,
      targets: Array.from({ length: 200 }, (_, n) =>
        target(`demo/pod-${i}-${n}`, { state: 'reverted', evidence: long, proof: long }),
      ),
    })

  it('is stored without the oldest records of what is done with, and says how many', async () => {
    const object = await create('large', 'none')
    const { keeper, refusals } = keeperOf(object)
    const open = taskState('open', {
      stage: 'chaos',
      targets: [target('o', { state: 'injected' })],
    })
    keeper.offer(runState([...Array.from({ length: 30 }, (_, i) => done(i)), open]))
    await keeper.durable(soon())
    keeper.close('')
    const run = await stored('large')
    expect(bytesOf(run)).toBeLessThanOrEqual(maxRunBytes)
    const kept = run.tasks.reduce((sum, t) => sum + t.targets.length, 0)
    const dropped = run.tasks.reduce((sum, t) => sum + (t.dropped ?? 0), 0)
    expect(kept + dropped).toBe(6001)
    expect(run.tasks.at(-1)?.targets).toHaveLength(1)
    expect(refusals).toEqual([])
    // a runner that took it over would never let go of what is open on a node that nobody has
    await kube.remove(place('large'), call)
  })

  it('is made smaller when the document has grown meanwhile', async () => {
    const object = await create('grown', 'none')
    const { keeper, refusals } = keeperOf(object)
    // more than etcd has left beside a record of 900 kB; the API server answers 500
    const names = Array.from({ length: 3600 }, (_, i) => `${i}`.padStart(253, 'x'))
    const action = { type: 'pod-kill', parameters: { names: names.join(',') } }
    keeper.saw(await kube.mergePatch<KubeObject>(place('grown'), { spec: { action } }, call))
    keeper.offer(runState(Array.from({ length: 30 }, (_, i) => done(i))))
    await keeper.durable(soon())
    keeper.close('')
    expect(bytesOf(await stored('grown'))).toBeLessThan(maxRunBytes / 2 + 1000)
    expect(refusals).toEqual([])
  })
})

it('a record that is refused is told once, and stored as soon as it is acceptable', async () => {
  const { keeper, refusals } = keeperOf(await create('refused', 'none'))
  keeper.offer(runState([taskState('t', { stage: 'nonsense' as 'done' })]))
  const first = keeper.durable(soon())
  await until(() => refusals.length > 0)
  expect(keeper.refused).toBe(true)
  expect(refusals).toEqual([expect.stringContaining('Unsupported value: "nonsense"')])
  keeper.offer(runState([taskState('t')]))
  await first
  expect(keeper.refused).toBe(false)
  expect((await stored('refused')).tasks[0]?.stage).toBe('pending')
  keeper.close('')
})

describe('the runner, when its record is refused', () => {
  const policy = 'no-open-targets'
  const end: AbortController[] = []

  /** Whatever would let pods be hit is refused from now on. */
  async function refuse(): Promise<void> {
    const { group, version, plural } = chaosExperiments
    const resources = [`${plural}/status`]
    const rule = { apiGroups: [group], apiVersions: [version], operations: ['UPDATE'], resources }
    const expression =
      '!has(object.status) || !has(object.status.run) || object.status.run.tasks.all(t, t.targets.all(g, g.state != "targeted"))'
    await kube.create(
      resourcePath({ ...admission, plural: 'validatingadmissionpolicies' }),
      {
        metadata: { name: policy },
        spec: {
          matchConstraints: { resourceRules: [rule] },
          validations: [{ expression, message: 'no targets in status' }],
        },
      },
      call,
    )
    await kube.create(
      resourcePath({ ...admission, plural: 'validatingadmissionpolicybindings' }),
      { metadata: { name: policy }, spec: { policyName: policy, validationActions: ['Deny'] } },
      call,
    )
    // A policy counts a moment after it is there.
    const canary = await create(`canary-${Date.now()}`, 'none')
    const { keeper } = keeperOf(canary)
    await until(() => {
      keeper.offer(runState([taskState('t', { targets: [target('x')] })]), 0)
      return keeper.refused
    })
    keeper.close('')
  }
  async function allow(): Promise<void> {
    for (const plural of ['validatingadmissionpolicybindings', 'validatingadmissionpolicies'])
      await kube.remove(resourcePath({ ...admission, plural, name: policy }), call).catch(() => {})
  }

  async function makePod(app: string): Promise<KubeObject> {
    const containers = [{ name: 'app', image: 'a' }]
    const metadata = { name: app, labels: { app } }
    const body = { metadata, spec: { containers, automountServiceAccountToken: false } }
    return await kube.create(resourcePath({ ...pods, namespace }), body, call)
  }
  const podOf = (name: string) =>
    kube.find<KubeObject>(resourcePath({ ...pods, namespace, name }), call)
  const notesOf = async (name: string): Promise<string[]> => {
    type Event = KubeObject & { reason: string; note: string; regarding: { name: string } }
    const { items } = await kube.list<Event>(resourcePath({ ...events, namespace }), call)
    return items
      .filter((e) => e.reason === 'RecordRefused' && e.regarding.name === name)
      .map((e) => e.note)
  }

  function startRunner(): void {
    const stop = new AbortController()
    end.push(stop)
    const settings = settingsFrom({ POD_NAME: 'runner-2', POD_NAMESPACE: home, IMAGE: 'i' })
    const config = loadKubeConfig({ file: apiServer().kubeconfig, env: {} })
    const parts = { settings, config, log: silentLog(), newId: () => 'life-2', onReady: () => {} }
    void runRunner(parts, stop.signal)
  }
  afterEach(async () => {
    for (const stop of end.splice(0)) stop.abort()
    await allow()
  })

  it('hits nothing, says so in an Event, and ends as an error when it is taken again', async () => {
    await refuse()
    const pod = await makePod('spared')
    startRunner()
    const object = experiment('unrecorded', 'spared')
    await kube.create(
      resourcePath({ ...chaosExperiments, namespace }),
      { ...object, metadata: { name: 'unrecorded' } },
      call,
    )
    await until(async () => (await notesOf('unrecorded')).length > 0)
    expect((await notesOf('unrecorded'))[0]).toContain('no targets in status')
    expect((await podOf('spared'))?.metadata.uid).toBe(pod.metadata.uid)
    await allow()
    await until(async () => (await stored('unrecorded'))?.finishedAt !== undefined, 60_000)
    const run = await stored('unrecorded')
    expect(run.tasks[0]?.trouble?.code).toBe('CHAOS_RESULT_CRUD_ERROR')
    expect(run.tasks[0]?.targets.map((t) => t.state)).toEqual(['untouched'])
    expect((await podOf('spared'))?.metadata.uid).toBe(pod.metadata.uid)
    await until(
      async () => !(await kube.get<Experiment>(place('unrecorded'), call)).metadata.finalizers,
    )
  })

  it('lets a resource in deletion go', async () => {
    await refuse()
    await makePod('left')
    startRunner()
    const object = experiment('leaves', 'left')
    await kube.create(
      resourcePath({ ...chaosExperiments, namespace }),
      { ...object, metadata: { name: 'leaves' } },
      call,
    )
    await until(async () => (await notesOf('leaves')).length > 0)
    await kube.remove(place('leaves'), call)
    await until(async () => (await kube.find(place('leaves'), call)) === undefined)
    expect(await podOf('left')).toBeDefined()
  })
})
