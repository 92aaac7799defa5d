import { afterAll, beforeAll, expect, it } from 'vitest'
import { systemClock } from '../../lib/clock.ts'
import { createKubeClient, type KubeClient } from '../../lib/kube/client.ts'
import { loadKubeConfig } from '../../lib/kube/config.ts'
import { namespaces, pods, resourcePath } from '../../lib/kube/paths.ts'
import type { KubeObject } from '../../lib/kube/types.ts'
import type { TaskPlan } from '../../model/plan.ts'
import type { RunState, TargetState } from '../../model/state.ts'
import { apiServer } from '../../test-e2e/setup/worker.ts'
import type { RunLoop } from '../engine/loop.ts'
import { runState, taskPlan, taskState } from '../engine/testing.ts'
import type { FaultShape } from '../engine/view.ts'
import { faultCatalogue } from '../faults/catalogue.generated.ts'
import type { PodDeleteParams } from '../faults/pod-delete/index.ts'
import { resourceOf } from '../run/resource.ts'
import { posedRun } from './testing.ts'

const namespace = 'strike-tests'
const account = { namespace, name: 'killer' }
const call = { signal: AbortSignal.timeout(120_000) }
const rbac = { group: 'rbac.authorization.k8s.io', version: 'v1' }
let kube: KubeClient

const taskOf = (app: string, over: Partial<TaskPlan> = {}): TaskPlan =>
  taskPlan('kill', {
    fault: 'pod-delete',
    params: faultCatalogue['pod-delete']?.fromLitmus({ FORCE: 'true' }, 'pod-delete') ?? {},
    selection: {
      workloads: [{ kind: 'any', namespace, names: [], labels: `app=${app}` }],
      pods: [],
      nodes: [],
      nodeLabel: '',
      container: '',
      share: 'all',
    },
    ...over,
  })

/** A round every CHAOS_INTERVAL. */
const striking: FaultShape = {
  hands: 'kube',
  lasts: 'instant',
  waveOffset({ params, durationMs }, wave) {
    const { interval } = params as PodDeleteParams
    const offset = wave * (interval?.minMs ?? durationMs)
    return offset < durationMs ? offset : null
  },
}

/** `client` stands between the run and the API server. */
const loopOf = (task: TaskPlan, state: RunState, client = kube): RunLoop =>
  posedRun(task, state, {
    kube: client,
    namespace,
    account,
    shapeOf: () => striking,
    resource: resourceOf('ChaosExperiment', {
      metadata: { name: 'kill', namespace, uid: 'u', resourceVersion: '1' },
    }),
    observe: ({ tasks }) => {
      const hit = tasks[0]?.targets.some((t) => t.state === 'injected')
      if (hit) for (const tell of onHit.splice(0)) tell()
    },
  }).loop
const onHit: (() => void)[] = []

/** `node`: its pods are there until their kubelet, which is the test, says that they have stopped. */
async function makePods(app: string, count: number, node?: string): Promise<TargetState[]> {
  const made: TargetState[] = []
  for (let i = 0; i < count; i++) {
    made.push(await makePod(app, `${app}-${i}`, node))
  }
  return made
}

async function makePod(app: string, name: string, nodeName?: string): Promise<TargetState> {
  const containers = [{ name: 'app', image: 'a' }]
  const body = {
    metadata: { name, labels: { app } },
    spec: { containers, automountServiceAccountToken: false, ...(nodeName ? { nodeName } : {}) },
  }
  const pod = await kube.create<KubeObject>(resourcePath({ ...pods, namespace }), body, call)
  const { uid } = pod.metadata
  const id = `${namespace}/${name}`
  return { id, kind: 'Pod', namespace, name, uid, wave: 0, state: 'targeted' }
}

const pathOf = (name: string): string => resourcePath({ ...pods, namespace, name })

const left = async (app: string): Promise<number> => {
  const query = { labelSelector: `app=${app}` }
  return (await kube.list(resourcePath({ ...pods, namespace }), { ...call, query })).items.length
}
const statesOf = ({ state }: RunLoop) => state.tasks[0]?.targets.map((t) => t.state).sort()

beforeAll(async () => {
  const config = loadKubeConfig({ file: apiServer().kubeconfig, env: {} })
  kube = createKubeClient({ config, userAgent: 'tests/1' })
  await kube.create(resourcePath(namespaces), { metadata: { name: namespace } }, call)
  const rules = [{ apiGroups: [''], resources: ['pods'], verbs: ['get', 'list', 'delete'] }]
  const role = { metadata: { name: 'killer' }, rules }
  await kube.create(resourcePath({ ...rbac, plural: 'roles', namespace }), role, call)
  const binding = {
    metadata: { name: 'killer' },
    roleRef: { apiGroup: rbac.group, kind: 'Role', name: 'killer' },
    subjects: [{ kind: 'ServiceAccount', ...account }],
  }
  await kube.create(resourcePath({ ...rbac, plural: 'rolebindings', namespace }), binding, call)
})
afterAll(() => kube?.close())

it('an abort between two targets leaves the rest untouched, and says so', async () => {
  await makePods('turns', 3)
  const loop = loopOf(taskOf('turns', { sequence: 'serial' }), runState([taskState('kill')]))
  onHit.push(() => setTimeout(() => loop.emit({ fact: 'aborted', by: 'me' }), 200))
  const started = Date.now()
  expect(await loop.run(AbortSignal.timeout(20_000))).toBe('finished')
  expect(Date.now() - started).toBeLessThan(8000)
  expect(statesOf(loop)).toEqual(['reverted', 'untouched', 'untouched'])
  expect(loop.state.tasks[0]?.injections).toBe(1)
  expect(await left('turns')).toBe(2)
})

it('pods of one round go by name, with the pause that is asked for between them', async () => {
  await makePods('paced', 4)
  const params = faultCatalogue['pod-delete']?.fromLitmus(
    { FORCE: 'true', POD_TERMINATION_ORDER: 'reverse', INTER_POD_KILL_INTERVAL_SECONDS: '0.3' },
    'pod-delete',
  )
  const task = taskOf('paced', { params: params ?? {}, durationMs: 3000 })
  const selection = { ...task.selection, order: 'reverse' as const, share: 75 }
  const loop = loopOf({ ...task, selection }, runState([taskState('kill')]))
  expect(await loop.run(AbortSignal.timeout(20_000))).toBe('finished')
  const hit = [...(loop.state.tasks[0]?.targets ?? [])]
  expect(hit.map((t) => t.name)).toEqual(['paced-3', 'paced-2', 'paced-1'])
  const at = hit.map((t) => t.injectedAt ?? 0)
  expect((at[1] ?? 0) - (at[0] ?? 0)).toBeGreaterThanOrEqual(290)
  expect((at[2] ?? 0) - (at[1] ?? 0)).toBeGreaterThanOrEqual(290)
  expect(await left('paced')).toBe(1)
})

it('the end of the duration does the same, and is an error', async () => {
  await makePods('short', 3)
  const task = taskOf('short', { sequence: 'serial', durationMs: 500 })
  const loop = loopOf(task, runState([taskState('kill')]))
  expect(await loop.run(AbortSignal.timeout(30_000))).toBe('finished')
  expect(statesOf(loop)).toEqual(['reverted', 'untouched', 'untouched'])
  expect(loop.state.tasks[0]?.trouble?.code).toBe('CUT_SHORT')
})

it.each([
  ['answered within the grace', 600],
  ['never answered', 60_000],
])('a deletion that was under way at the abort is on record when it was %s', async (_name, ms) => {
  const app = `late-${ms}`
  await makePods(app, 1)
  let accepted = (): void => {}
  const slow: KubeClient = {
    ...kube,
    async remove(path, options) {
      const answer = await kube.remove(path, options)
      accepted()
      await systemClock.sleep(ms, options.signal)
      return answer as never
    },
  }
  const loop = loopOf(taskOf(app), runState([taskState('kill')]), slow)
  accepted = () => loop.emit({ fact: 'aborted', by: 'me' })
  expect(await loop.run(AbortSignal.timeout(20_000))).toBe('finished')
  expect(statesOf(loop)).toEqual(['reverted'])
  expect(loop.state.tasks[0]?.injections).toBe(1)
})

it('who takes an aborted run over looks which targets the runner before it has hit', async () => {
  const targets = await makePods('adopted', 2)
  await kube.remove(resourcePath({ ...pods, namespace, name: 'adopted-0' }), call)
  const now = Date.now()
  const cut = taskState('kill', {
    fault: 'pod-delete',
    stage: 'reverting',
    prepared: true,
    startedAt: now,
    chaosAt: now,
    targets,
  })
  const state = runState([cut], { adoptions: 1, abort: { by: 'me', at: now } })
  const loop = loopOf(taskOf('adopted'), state)
  expect(await loop.run(AbortSignal.timeout(20_000))).toBe('finished')
  expect(loop.state.tasks[0]?.targets.map((t) => [t.name, t.state])).toEqual([
    ['adopted-0', 'reverted'],
    ['adopted-1', 'untouched'],
  ])
  expect(await left('adopted')).toBe(1)
})

/** Kubelet and the controller of a StatefulSet: a pod that is deleted stops in its time, and its name comes back. */
async function replace(app: string, stopsAfterMs: Record<string, number>, signal: AbortSignal) {
  const query = { labelSelector: `app=${app}` }
  const since = new Map<string, number>()
  while (!signal.aborted) {
    const { items } = await kube.list<KubeObject>(resourcePath({ ...pods, namespace }), {
      ...call,
      query,
    })
    for (const { metadata } of items.filter((pod) => pod.metadata.deletionTimestamp)) {
      const { name, uid } = metadata
      since.set(uid, since.get(uid) ?? Date.now())
      if (Date.now() - (since.get(uid) ?? 0) < (stopsAfterMs[name] ?? 0)) continue
      await kube.remove(pathOf(name), { ...call, uid, gracePeriodSeconds: 0 })
      await makePod(app, name, 'n1')
    }
    await systemClock.sleep(20, signal).catch(() => {})
  }
}

it('pods that keep their names are struck in every round that they are there for, and the run ends', async () => {
  await makePods('kept', 2, 'n1')
  const calls: string[] = []
  const slow: KubeClient = {
    ...kube,
    async remove(path, options) {
      const answer = await kube.remove(path, options)
      if (path.endsWith('kept-1')) await systemClock.sleep(200, options.signal)
      calls.push('struck')
      return answer as never
    },
    watch(path, options) {
      calls.push('watched')
      return kube.watch(path, options)
    },
  }
  const end = new AbortController()
  const replacing = replace('kept', { 'kept-0': 3000, 'kept-1': 100 }, end.signal)
  const params = faultCatalogue['pod-delete']?.fromLitmus({ CHAOS_INTERVAL: '1' }, 'pod-delete')
  const task = taskOf('kept', { params: params ?? {}, durationMs: 1500 })
  const loop = loopOf(task, runState([taskState('kill')]), slow)
  const how = await loop.run(AbortSignal.timeout(15_000))
  end.abort()
  await replacing
  const records = loop.state.tasks[0]?.targets ?? []
  expect(how, JSON.stringify(records)).toBe('finished')
  expect(records.map((t) => [t.name, t.wave, t.state]).sort()).toEqual([
    ['kept-0', 0, 'reverted'],
    ['kept-1', 0, 'reverted'],
    ['kept-1', 1, 'reverted'],
  ])
  expect(new Set(records.map((t) => t.uid)).size).toBe(3)
  expect(loop.state.tasks[0]?.injections).toBe(3)
  // Those that are struck together go before what follows them.
  expect(calls.slice(0, 3)).toEqual(['struck', 'struck', 'watched'])
  // Nobody waited for the slow one.
  const ended = (name: string, wave: number) =>
    records.find((t) => t.name === name && t.wave === wave)?.revertedAt ?? 0
  expect(ended('kept-0', 0) - ended('kept-1', 0)).toBeGreaterThan(1500)
})

it('a run that was stuck with two records of one name comes to its end', async () => {
  const [now] = await makePods('stuck', 1)
  if (!now) throw new Error('no pod was made')
  const hitAt = Date.now()
  const hit = { injectedAt: hitAt, evidence: 'DELETE accepted' }
  const targets: TargetState[] = [
    { ...now, uid: 'of-the-first', state: 'injected', ...hit },
    { ...now, uid: 'of-the-second', wave: 1, state: 'reverted', ...hit, revertedAt: hitAt },
  ]
  const over = { stage: 'reverting', prepared: true, startedAt: hitAt, chaosAt: hitAt } as const
  const task = taskState('kill', { fault: 'pod-delete', ...over, targets, wave: 2, injections: 2 })
  const loop = loopOf(taskOf('stuck'), runState([task], { adoptions: 1 }))
  expect(await loop.run(AbortSignal.timeout(5000))).toBe('finished')
  expect(statesOf(loop)).toEqual(['reverted', 'reverted'])
  expect(await left('stuck')).toBe(1)
})
