import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { systemClock } from '../../lib/clock.ts'
import type { KubeClient } from '../../lib/kube/client.ts'
import { namespaces, nodes, pods, resourcePath } from '../../lib/kube/paths.ts'
import type { KubeObject } from '../../lib/kube/types.ts'
import { protectedLabel } from '../../model/protection.ts'
import type { RunState, TargetState } from '../../model/state.ts'
import { lookAround, mustBeAllowed } from '../actions/guard.ts'
import { unprotected } from '../actions/testing.ts'
import { runState, target, taskPlan } from '../engine/testing.ts'
import { faultCatalogue } from '../faults/catalogue.generated.ts'
import { clusterSizeIn } from './cluster-size.ts'
import type { RunnerContext } from './context.ts'
import type { Resource } from './resource.ts'
import { PosedRunner } from './testing/posed-runner.ts'

const namespace = 'protection-tests'
let kube: KubeClient
let runner: PosedRunner

beforeAll(async () => {
  runner = await PosedRunner.alone(namespace, {
    MAX_TARGETS_PER_EXPERIMENT: '2',
    MAX_TARGETS_PER_CLUSTER: '3',
    MIN_HEALTHY: '1',
  })
  kube = runner.kube
})
afterAll(() => runner?.end())

const kill = (name: string, at: string, app: string) =>
  runner.create(name, {
    target: { kind: 'Pod', namespace: at, labelSelector: { matchLabels: { app } } },
    action: { type: 'pod-kill', parameters: {} },
    duration: '2s',
  })

/** Ready pods of one ReplicaSet, as far as anybody can see. */
async function makePods(
  at: string,
  app: string,
  ready: boolean[],
  nodeName?: string,
): Promise<string[]> {
  const owner = { apiVersion: 'apps/v1', kind: 'ReplicaSet', name: `${app}-5d`, uid: app }
  const made = ready.map(async (isReady, i) => {
    const name = `${app}-${i}`
    const labels = { app, 'pod-template-hash': '5d' }
    const metadata = { name, labels, ownerReferences: [{ ...owner, controller: true }] }
    const containers = [{ name: 'app', image: 'a' }]
    const body = {
      metadata,
      spec: { containers, automountServiceAccountToken: false, ...(nodeName ? { nodeName } : {}) },
    }
    const pod = await kube.create<KubeObject>(
      resourcePath({ ...pods, namespace: at }),
      body,
      runner.call,
    )
    const conditions = [{ type: 'Ready', status: isReady ? 'True' : 'False' }]
    await kube.mergePatch(
      resourcePath({ ...pods, namespace: at, name, subresource: 'status' }),
      { status: { phase: 'Running', conditions } },
      runner.call,
    )
    return pod.metadata.uid
  })
  return Promise.all(made)
}
async function uidsOf(at: string, app: string): Promise<string[]> {
  const query = { labelSelector: `app=${app}` }
  const path = resourcePath({ ...pods, namespace: at })
  const { items } = await kube.list<KubeObject>(path, { ...runner.call, query })
  return items.map((pod) => pod.metadata.uid)
}
const label = (name: string, value: string) =>
  kube.mergePatch(
    resourcePath({ ...namespaces, name }),
    { metadata: { labels: { [protectedLabel]: value } } },
    runner.call,
  )
const reasonOf = ({ tasks }: RunState): string => tasks[0]?.trouble?.reason ?? ''

describe('a namespace that is protected', () => {
  it.each([
    ['kube-system', /protection.namespaces.deny of the chart is kube-system/],
    ['chaosplane itself', /namespace of chaosplane itself/],
  ])('%s: nothing is begun, and the field is named', async (what, why) => {
    const at = what === 'kube-system' ? what : namespace
    await kill(`into-${at}`, at, 'any')
    const run = await runner.finished(`into-${at}`)
    expect(run).toMatchObject({ refusedAs: 'Protected', tasks: [] })
    expect(run.refused?.[0]).toMatchObject({
      path: 'spec.target.namespace',
      reason: expect.stringMatching(why),
      suggestion: expect.stringContaining('aim at another namespace'),
    })
  })

  it('by its label, until the label says false', async () => {
    const at = 'protection-bank'
    await kube.create(resourcePath(namespaces), { metadata: { name: at } }, runner.call)
    const before = await makePods(at, 'vault', [true, false])
    await label(at, 'yes')
    await kill('robbery', at, 'vault')
    const run = await runner.finished('robbery')
    expect(run.refused?.[0]?.reason).toContain(`protected by its label ${protectedLabel}`)
    expect((await uidsOf(at, 'vault')).sort()).toEqual(before.sort())
    await label(at, 'false')
    await kill('allowed', at, 'vault')
    expect((await runner.finished('allowed')).refusedAs).toBeUndefined()
  })
})

describe('caps', () => {
  it('of one experiment: more than that are refused before anything is done', async () => {
    const names = ['cap-1', 'cap-2', 'cap-3']
    for (const name of names) await runner.makeNode(name, { pool: 'cap' })
    await runner.taint('too-many', { labelSelector: { matchLabels: { pool: 'cap' } } })
    const run = await runner.finished('too-many')
    expect(reasonOf(run)).toMatch(
      /3 targets would be hit; protection.maxTargets.perExperiment of the chart is 2: choose at most 2/,
    )
    expect(run.tasks[0]).toMatchObject({ injections: 0, targets: [] })
    for (const name of names) expect(await runner.taints(name)).toEqual([])
  })

  it('of the cluster: what others hold counts, and no more than that is ever held', async () => {
    const names = ['sum-1', 'sum-2', 'sum-3', 'sum-4']
    for (const name of names) await runner.makeNode(name)
    // At the same moment: one of the two finds room.
    await Promise.all([
      runner.taint('sum-a', { names: names.slice(0, 2) }),
      runner.taint('sum-b', { names: names.slice(2) }),
    ])
    const [a, b] = await Promise.all(
      ['sum-a', 'sum-b'].map((name) =>
        runner.until(name, ({ tasks: [task] }) =>
          Boolean(
            task?.trouble ||
              (task?.targets.every((t) => t.state === 'injected') && task.targets.length > 0),
          ),
        ),
      ),
    )
    const [refused, held] = a?.tasks[0]?.trouble ? [a, b] : [b, a]
    expect(reasonOf(refused as RunState)).toMatch(
      /perCluster of the chart is 3, and 2 are taken: choose at most 1/,
    )
    expect(held?.tasks[0]?.targets.map((t) => t.state)).toEqual(['injected', 'injected'])
    await runner.abort(held === a ? 'sum-a' : 'sum-b')
    await runner.finished(held === a ? 'sum-a' : 'sum-b')
    await runner.taint('sum-c', { names: names.slice(2) })
    await runner.injected('sum-c')
    await runner.abort('sum-c')
    await runner.finished('sum-c')
  })
})

describe('minimum healthy', () => {
  const at = 'protection-shop'
  beforeAll(() => kube.create(resourcePath(namespaces), { metadata: { name: at } }, runner.call))

  it('refuses to strike when no pod of the workload would stay ready', async () => {
    const before = await makePods(at, 'till', [true, true])
    await kill('all-of-them', at, 'till')
    const run = await runner.finished('all-of-them')
    expect(reasonOf(run)).toMatch(
      /0 of the 2 pods of Deployment\/protection-shop\/till would stay ready, 2 are now; protection.minHealthy of the chart is 1, so 1 must stay/,
    )
    expect((await uidsOf(at, 'till')).sort()).toEqual(before.sort())
  })

  it('counts the pods that a drain would drive out', async () => {
    await runner.makeNode('full-house')
    const before = await makePods(at, 'lodge', [true], 'full-house')
    await runner.create('drain', {
      target: { kind: 'Node', names: ['full-house'] },
      action: { type: 'node-drain', parameters: {} },
    })
    expect(reasonOf(await runner.finished('drain'))).toMatch(
      /0 of the 1 pods of Deployment\/protection-shop\/lodge would stay ready/,
    )
    expect(await uidsOf(at, 'lodge')).toEqual(before)
    // What leaves nobody out is done: nothing has to go for the sake of this taint.
    await runner.taint('no-new-ones', { names: ['full-house'] })
    await runner.injected('no-new-ones')
    await runner.abort('no-new-ones')
    await runner.finished('no-new-ones')
  })

  it('strikes those that are not ready anyway', async () => {
    const [sick] = await makePods(at, 'shelf', [false])
    await kill('the-sick', at, 'shelf')
    await runner.finished('the-sick')
    expect(await uidsOf(at, 'shelf')).not.toContain(sick)
  })
})

describe('the share of what could be chosen', () => {
  const at = 'protection-mall'
  const account = { namespace, name: 'chaosplane-experiment' }
  const guard = () => ({
    account,
    resource: { uid: 'u' } as Resource,
    state: () => runState([]),
    context: {
      kube,
      faults: faultCatalogue,
      protection: { ...unprotected, caps: { ...unprotected.caps, percent: 50 } },
    } as unknown as RunnerContext,
  })
  const taskOf = (names: string[]) =>
    taskPlan('t', {
      fault: 'pod-delete',
      selection: {
        ...taskPlan('t').selection,
        workloads: [
          names.length > 0
            ? { kind: 'pod', namespace: at, names, labels: '' }
            : { kind: 'any', namespace: at, names: [], labels: 'app=stall' },
        ],
      },
    })
  const targets = (uids: string[]) =>
    uids.map((uid, i) => target(`${at}/stall-${i}`, { namespace: at, name: `stall-${i}`, uid }))

  it.each([
    ['by labels: of those that match', []],
    ['by name: of all pods of their workloads', ['stall-0', 'stall-1', 'stall-2']],
  ])('%s', async (_what, names) => {
    await kube
      .create(resourcePath(namespaces), { metadata: { name: at } }, runner.call)
      .catch(() => {})
    const known = await uidsOf(at, 'stall')
    const uids = known.length > 0 ? known : await makePods(at, 'stall', [true, true, true, true])
    const actor = guard()
    const sight = await lookAround(taskOf(names), targets(uids.slice(0, 3)), {
      ...{ actor, signal: runner.call.signal },
    })
    expect(sight.candidates).toBe(4)
    const choose = (n: number) =>
      mustBeAllowed(taskOf(names), targets(uids.slice(0, n)), { actor, sight })
    expect(() => choose(2)).not.toThrow()
    expect(() => choose(3)).toThrow(
      'task t: 3 targets would be hit; protection.maxTargets.percent of the chart is 50, of 4 that could be chosen: choose at most 2',
    )
  })
})

describe('the share of the cluster', () => {
  const at = 'protection-square'
  const open = (kind: string, count: number) =>
    Array.from({ length: count }, (_, i) => target(`other-${i}`, { kind }))
  const guard = (held: TargetState[]) => ({
    account: { namespace, name: 'chaosplane-experiment' },
    resource: { uid: 'u' } as Resource,
    state: () => runState([]),
    context: {
      kube,
      faults: faultCatalogue,
      protection: {
        ...unprotected,
        caps: { ...unprotected.caps, percentOfCluster: 50 },
        clusterSize: clusterSizeIn({ kube, clock: systemClock }),
        othersThan: () => held,
      },
    } as unknown as RunnerContext,
  })

  it('of pods: those that run, in all namespaces, whoever holds them', async () => {
    await kube.create(resourcePath(namespaces), { metadata: { name: at } }, runner.call)
    await makePods(at, 'booth', [true, false, true, true])
    const booth = { ...pods, namespace: at, name: 'booth-3', subresource: 'status' }
    await kube.mergePatch(resourcePath(booth), { status: { phase: 'Succeeded' } }, runner.call)
    const { items } = await kube.list<KubeObject & { status: { phase: string } }>(
      resourcePath(pods),
      runner.call,
    )
    const running = items.filter(({ status }) => status.phase === 'Running').length
    const task = taskPlan('t', { fault: 'pod-delete' })
    const half = Math.floor(running / 2)
    const actor = guard([...open('Pod', half - 1), ...open('Node', 50)])
    const sight = await lookAround(task, [], { actor, signal: runner.call.signal })
    expect(sight.clusterSize).toBe(running)
    const choose = (n: number) => mustBeAllowed(task, open('Pod', n), { actor, sight })
    expect(() => choose(1)).not.toThrow()
    expect(() => choose(2)).toThrow(
      `task t: 2 targets would be hit; protection.maxTargets.percentOfCluster of the chart is 50, of ${running} pods in the cluster, and ${half - 1} are taken: choose at most 1`,
    )
  })

  it('of nodes: pods that are held are none of them', async () => {
    const names = ['square-a', 'square-b', 'square-c', 'square-d']
    for (const name of names) await runner.makeNode(name)
    const task = taskPlan('t', { fault: 'node-taint' })
    const { items } = await kube.list<KubeObject>(resourcePath(nodes), runner.call)
    const half = Math.floor(items.length / 2)
    const actor = guard([...open('Pod', 50), ...open('Node', half)])
    const sight = await lookAround(task, [], { actor, signal: runner.call.signal })
    expect(sight.clusterSize).toBe(items.length)
    expect(() => mustBeAllowed(task, open('Node', 1), { actor, sight })).toThrow(
      `of ${items.length} nodes in the cluster, and ${half} are taken: wait until others have ended`,
    )
  })
})

describe('nodes', () => {
  it('of the control plane are hit by name, not by label; with the label they never are', async () => {
    const role = { 'node-role.kubernetes.io/control-plane': '' }
    await runner.makeNode('brain', { pool: 'mixed', ...role })
    await runner.makeNode('brawn', { pool: 'mixed' })
    await runner.makeNode('heart', { pool: 'mixed', [protectedLabel]: 'true' })
    await runner.taint('mixed', { labelSelector: { matchLabels: { pool: 'mixed' } } })
    const run = await runner.injected('mixed')
    expect(run.tasks[0]?.targets.map((t) => t.name)).toEqual(['brawn'])
    await runner.abort('mixed')
    await runner.finished('mixed')

    await runner.taint('by-name', { names: ['brain'] })
    await runner.injected('by-name')
    await runner.abort('by-name')
    await runner.finished('by-name')
    expect(await runner.taints('brain')).toEqual([])

    await runner.taint('never', { names: ['heart'] })
    expect(reasonOf(await runner.finished('never'))).toContain(
      `node heart is protected by its label ${protectedLabel}: choose other nodes`,
    )
    await runner.taint('nobody', { labelSelector: { matchLabels: role } })
    expect(reasonOf(await runner.finished('nobody'))).toContain('which is hit only by name')
  })
})
