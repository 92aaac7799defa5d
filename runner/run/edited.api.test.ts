import { afterAll, beforeAll, expect, it } from 'vitest'
import {
  apiVersionOf,
  chaosExperiments,
  events,
  leases,
  nodes,
  pods,
  resourcePath,
} from '../../lib/kube/paths.ts'
import { type KubeObject, microTime } from '../../lib/kube/types.ts'
import { abandonAnnotation } from '../../model/abandon.ts'
import { accountAnnotation } from '../../model/compile/chaos-experiment.ts'
import { podName } from '../../model/fault-pod-recovery.ts'
import {
  claimAnnotation,
  runFinalizer,
  runnerLeaseLabel,
  runnerLeaseName,
} from '../../model/runner-life.ts'
import type { RunState, TargetState, TaskState } from '../../model/state.ts'
import { runState, target, taskState } from '../engine/testing.ts'
import { PosedRunner } from './testing/posed-runner.ts'

const namespace = 'edited-tests'
const admission = { group: 'admissionregistration.k8s.io', version: 'v1' }
let runner: PosedRunner

beforeAll(async () => {
  runner = await PosedRunner.alone(namespace)
})
afterAll(() => runner?.end())

const ours = { key: 'story', value: 'on', effect: 'NoSchedule' }

/** A node as the runner before has left it. */
async function tainted(name: string, state: 'injected' | 'targeted'): Promise<TargetState> {
  const { metadata } = await runner.makeNode(name)
  await runner.kube.mergePatch(
    resourcePath({ ...nodes, name }),
    { spec: { taints: [ours] } },
    runner.call,
  )
  const at = Date.now()
  return target(`node/${name}`, {
    ...{ kind: 'Node', namespace: '', name, uid: metadata.uid, node: name, state },
    ...{ undo: { taints: [{ ours, before: null }] }, plannedAt: at },
    ...(state === 'injected' ? { injectedAt: at, endsAt: at + 600_000 } : {}),
  })
}

const held = (name: string, targets: TargetState[]): TaskState =>
  taskState(name, {
    ...{ fault: 'node-taint', stage: 'chaos', prepared: true, targets },
    ...{ startedAt: Date.now(), stageAt: Date.now(), chaosAt: Date.now() },
  })

/** The run of a runner that has died since; its document is another one now. */
async function left(name: string, tasks: TaskState[]): Promise<void> {
  const { kube, call } = runner
  const pod = `dead-${name}`
  const lease = {
    metadata: { name: runnerLeaseName(pod), labels: { [runnerLeaseLabel]: 'true' } },
    spec: { holderIdentity: '1', leaseDurationSeconds: 5, renewTime: microTime(Date.now()) },
  }
  await kube.create(resourcePath({ ...leases, namespace }), lease, call)
  const annotations = { [claimAnnotation]: `${pod}/1` }
  const type = { apiVersion: apiVersionOf(chaosExperiments), kind: 'ChaosExperiment' }
  const body = {
    ...type,
    metadata: { name, finalizers: [runFinalizer], annotations },
    spec: {
      duration: '600s',
      target: { kind: 'Node', names: ['another'] },
      action: { type: 'node-taint', parameters: { key: 'story' } },
    },
  }
  const path = resourcePath({ ...chaosExperiments, namespace })
  await kube.create(path, body, call)
  const run = { ...runState(tasks), runId: name, runner: pod, instance: '1' }
  // a merge patch would leave out what was not there before
  await kube.apply(
    `${runner.pathOf(name)}/status`,
    { ...type, metadata: { name, namespace }, status: { run } },
    { ...call, fieldManager: 'chaosplane-runner' },
  )
  const next = { spec: { holderIdentity: '2' } }
  const place = resourcePath({ ...leases, namespace, name: runnerLeaseName(pod) })
  await kube.mergePatch(place, next, call)
}

const statesOf = ({ tasks }: RunState): string[] =>
  tasks.flatMap((t) => t.targets.map((g) => g.state))

/** From now on nobody may change this node. */
async function refuse(node: string): Promise<void> {
  const { kube, call } = runner
  const rule = {
    apiGroups: [''],
    apiVersions: ['v1'],
    operations: ['UPDATE'],
    resources: ['nodes'],
  }
  const spec = {
    matchConstraints: { resourceRules: [rule] },
    validations: [{ expression: `object.metadata.name != "${node}"`, message: 'hands off' }],
  }
  const metadata = { name: `no-${node}` }
  const policies = resourcePath({ ...admission, plural: 'validatingadmissionpolicies' })
  await kube.create(policies, { metadata, spec }, call)
  const binding = { metadata, spec: { policyName: metadata.name, validationActions: ['Deny'] } }
  const bindings = resourcePath({ ...admission, plural: 'validatingadmissionpolicybindings' })
  await kube.create(bindings, binding, call)
  // A policy counts a moment after it is there.
  const label = { metadata: { labels: { seen: 'yes' } } }
  const mayChange = () =>
    kube.mergePatch(resourcePath({ ...nodes, name: node }), label, call).then(
      () => true,
      () => false,
    )
  for (const end = Date.now() + 20_000; await mayChange(); )
    if (Date.now() > end) throw new Error('the policy has no effect')
    else await new Promise((done) => setTimeout(done, 100))
}

it('what is refused for ever keeps nothing else from being put back, is owed, and can be given up', async () => {
  const first = held('first', [await tainted('stubborn', 'injected')])
  const second = held('second', [await tainted('willing', 'injected')])
  await refuse('stubborn')
  await left('refused', [first, second])
  await runner.until('refused', (run) => statesOf(run).join() === 'owed,reverted')
  expect(await runner.taints('willing')).toEqual([])
  const open = await runner.until('refused', (_, { metadata }) =>
    metadata.finalizers?.includes(runFinalizer),
  )
  expect(open.tasks[0]?.targets[0]?.remaining).toEqual([
    expect.stringContaining('kubectl taint nodes stubborn'),
  ])
  const annotations = { [abandonAnnotation]: 'the policy stays' }
  await runner.kube.mergePatch(runner.pathOf('refused'), { metadata: { annotations } }, runner.call)
  const run = await runner.finished('refused')
  expect(statesOf(run)).toEqual(['abandoned', 'reverted'])
  expect(run).toMatchObject({ edited: true, abandoned: { reason: 'the policy stays' } })
})

it('any number of targets of which nobody knows whether they were hit are put back, at the same time', async () => {
  const many = Array.from({ length: 60 }, (_, i) => `perhaps-${i}`)
  const targets = await Promise.all(many.map((name) => tainted(name, 'targeted')))
  await left('many', [held('old', targets)])
  const run = await runner.finished('many')
  expect(new Set(statesOf(run))).toEqual(new Set(['reverted']))
  expect(run.tasks[0]?.trouble?.reason).toContain('edited in mid-run')
  for (const name of many) expect(await runner.taints(name)).toEqual([])
})

it('a run that holds something on a node is kept until that is put back', async () => {
  await runner.makeNode('worker')
  const owner = { run: 'on-node', task: 'hog', node: 'worker' }
  const over = { containerId: 'c', container: 'app', node: 'worker', state: 'injected' as const }
  const task = taskState('hog', {
    ...{ stage: 'chaos', prepared: true, wave: 1, targets: [target('demo/a/app', over)] },
    ...{
      startedAt: Date.now(),
      stageAt: Date.now(),
      chaosAt: Date.now(),
      pods: [podName(owner, 1)],
    },
  })
  await left('on-node', [task])
  const path = resourcePath({ ...pods, namespace, name: podName(owner, 2) })
  // whoever is to look after the node is on its way
  for (const end = Date.now() + 20_000; !(await runner.kube.find(path, runner.call)); )
    if (Date.now() > end) throw new Error('no fault pod came')
    else await new Promise((done) => setTimeout(done, 100))
  const { metadata, status } = await runner.experiment('on-node')
  expect(metadata.finalizers).toContain(runFinalizer)
  expect(status?.run).not.toHaveProperty('finishedAt')
  // with the node goes all that was held there
  await runner.kube.remove(resourcePath({ ...nodes, name: 'worker' }), runner.call)
  await runner.kube.remove(path, { ...runner.call, gracePeriodSeconds: 0 })
  const run = await runner.finished('on-node')
  expect(run.tasks[0]?.targets[0]).toMatchObject({ state: 'reverted', outcome: 'noLongerExists' })
})

it('a fault that this version does not know is told, and its run is left to one that does', async () => {
  const at = await tainted('of-later', 'injected')
  await left('later', [{ ...held('old', [at]), fault: 'node-from-later' }])
  const { kube, call } = runner
  const told = async () => {
    type Told = KubeObject & { reason: string; note: string; regarding: { name: string } }
    const { items } = await kube.list<Told>(resourcePath({ ...events, namespace }), call)
    return items.filter(({ regarding }) => regarding.name === 'later')
  }
  for (const end = Date.now() + 20_000; (await told()).length === 0; )
    if (Date.now() > end) throw new Error('nothing was told')
    else await new Promise((done) => setTimeout(done, 100))
  // it is looked at twice a second
  await new Promise((done) => setTimeout(done, 2000))
  expect(await told()).toMatchObject([
    { reason: 'FaultUnknown', note: expect.stringContaining('the fault node-from-later of a run') },
  ])
  const { metadata, status } = await runner.experiment('later')
  expect(metadata.annotations).toMatchObject({ [claimAnnotation]: 'dead-later/1' })
  expect(metadata.finalizers).toContain(runFinalizer)
  expect(status?.run).toMatchObject({ runner: 'dead-later', adoptions: 0 })
  expect(await runner.taints('of-later')).toEqual(['story'])
})

it('an edit after which the runner is replaced ends the run, and nothing of it is done', async () => {
  for (const name of ['asked', 'edited-in', 'untouched']) await runner.makeNode(name)
  await runner.taint('edit', { names: ['asked'] })
  await runner.taint('no-edit', { names: ['untouched'] })
  const held = await runner.injected('no-edit')
  await runner.injected('edit')
  await runner.replace(async () => {
    const spec = { duration: '90s', target: { names: ['edited-in'] } }
    await runner.kube.mergePatch(runner.pathOf('edit'), { spec }, runner.call)
  })
  const run = await runner.finished('edit')
  expect(run).toMatchObject({ edited: true, adoptions: 1 })
  expect(run.tasks[0]?.trouble?.reason).toContain('edited in mid-run')
  expect(run.tasks[0]?.targets).toMatchObject([{ id: 'node/asked', state: 'reverted' }])
  for (const name of ['asked', 'edited-in']) expect(await runner.taints(name)).toEqual([])
  // what nobody has edited goes on
  const other = await runner.until('no-edit', ({ adoptions }) => adoptions === 1)
  expect(other.tasks[0]).toMatchObject({ stage: 'chaos' })
  expect(other.tasks[0]?.targets[0]?.endsAt).toBe(held.tasks[0]?.targets[0]?.endsAt)
  expect(await runner.taints('untouched')).toEqual(['story'])
  await runner.abort('no-edit')
  expect((await runner.finished('no-edit')).edited).toBeUndefined()
})

it('an account that is named in mid-run is not used by who takes the run over', async () => {
  await runner.makeNode('as-asked')
  await runner.taint('account', { names: ['as-asked'] })
  await runner.injected('account')
  const annotations = { [accountAnnotation]: 'mightier' }
  await runner.replace(() =>
    runner.kube.mergePatch(runner.pathOf('account'), { metadata: { annotations } }, runner.call),
  )
  expect(await runner.finished('account')).toMatchObject({ edited: true })
  expect(await runner.taints('as-asked')).toEqual([])
})

it('a fault pod that is made for such a run waits, also where it is the first', async () => {
  await runner.makeNode('first-pod')
  const over = { containerId: 'c', container: 'app', node: 'first-pod', state: 'injected' as const }
  const task = taskState('hog', {
    ...{ stage: 'chaos', prepared: true, wave: 1, targets: [target('demo/b/app', over)] },
    ...{ startedAt: Date.now(), stageAt: Date.now(), chaosAt: Date.now() },
  })
  await left('first', [task])
  const name = podName({ run: 'first', task: 'hog', node: 'first-pod' }, 1)
  const path = resourcePath({ ...pods, namespace, name })
  type Container = { env?: { name: string; value: string }[] }
  type Made = KubeObject & { spec: { containers: Container[] } }
  let made: Made | undefined
  for (
    const end = Date.now() + 20_000;
    !made;
    made = await runner.kube.find<Made>(path, runner.call)
  )
    if (Date.now() > end) throw new Error('no fault pod came')
    else await new Promise((done) => setTimeout(done, 100))
  const orders = made.spec.containers.flatMap(({ env = [] }) =>
    env.filter((e) => e.name === 'CHAOSPLANE_ORDER').map(({ value }) => JSON.parse(value)),
  )
  expect(orders[0]).toMatchObject({ start: 'wait', params: {}, targets: [{ touched: true }] })
})
