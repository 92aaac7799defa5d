import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { KubeClient } from '../../../lib/kube/client.ts'
import { isNotFound, KubeError } from '../../../lib/kube/errors.ts'
import { gated } from '../../../lib/kube/gated.ts'
import { nodes, pods, resourcePath } from '../../../lib/kube/paths.ts'
import type { KubeObject } from '../../../lib/kube/types.ts'
import { apiServer } from '../../../test-e2e/setup/worker.ts'
import { allow, type FaultTest, faultTest, throughStatus } from '../api-testing.ts'
import type { KubeTarget } from '../kube-fault.ts'
import type { Node } from '../nodes.ts'
import type { NodeDrainParams } from './index.ts'
import { nodeDrain } from './kube.ts'

const params: NodeDrainParams = {
  timeoutMs: 60_000,
  force: true,
  ignoreDaemonSets: true,
  deleteEmptyDirData: true,
}
const onNodes = { apiGroups: [''], resources: ['nodes'], verbs: ['get', 'patch'] }
const onPods = { apiGroups: [''], resources: ['pods'], verbs: ['list'] }
const onEvictions = { apiGroups: [''], resources: ['pods/eviction'], verbs: ['create'] }
let on: FaultTest
let count = 0

beforeAll(async () => {
  on = await faultTest(apiServer().kubeconfig, 'node-drain', [onNodes, onPods, onEvictions])
})
afterAll(() => on.kube.close())

const pathOf = ({ name }: { name: string }) => resourcePath({ ...nodes, name })
async function makeNode(unschedulable?: boolean): Promise<KubeTarget> {
  const name = `drain-${++count}`
  const spec = unschedulable === undefined ? {} : { unschedulable }
  const made = await on.kube.create<Node>(
    resourcePath(nodes),
    { metadata: { name }, spec },
    { signal: on.signal },
  )
  return { id: `node/${name}`, kind: 'Node', namespace: '', name, uid: made.metadata.uid }
}
/** There is no kubelet here: a pod without a grace period is gone as soon as it is evicted. */
async function makePod(node: KubeTarget, name: string, metadata: object = {}): Promise<void> {
  const path = resourcePath({ ...pods, namespace: on.namespace })
  const pod = await on.kube.create<KubeObject>(
    path,
    {
      metadata: { name: `${node.name}-${name}`, ...metadata },
      spec: {
        nodeName: node.name,
        terminationGracePeriodSeconds: 0,
        automountServiceAccountToken: false,
        containers: [{ name: 'c', image: 'none' }],
      },
    },
    { signal: on.signal },
  )
  // Budgets do not protect what has not started.
  const status = { phase: 'Running', conditions: [{ type: 'Ready', status: 'True' }] }
  await on.kube.mergePatch(`${path}/${pod.metadata.name}/status`, { status }, { signal: on.signal })
}
const podsOf = async ({ name }: KubeTarget): Promise<string[]> => {
  const query = { fieldSelector: `spec.nodeName=${name}` }
  const { items } = await on.kube.list<KubeObject>(resourcePath(pods), { signal: on.signal, query })
  return items.map((pod) => pod.metadata.name.replace(`${name}-`, '')).sort()
}
const cordoned = async (node: KubeTarget): Promise<boolean> =>
  (await on.kube.get<Node>(pathOf(node), { signal: on.signal })).spec?.unschedulable === true
const cordon = (node: KubeTarget, unschedulable: boolean | null) =>
  on.kube.mergePatch(
    pathOf(node),
    { spec: { unschedulable } },
    { signal: on.signal, query: { fieldManager: 'kubectl-cordon' } },
  )
const plan = async (node: KubeTarget, over: Partial<NodeDrainParams> = {}) =>
  throughStatus(
    await nodeDrain.plan(
      node,
      { params: { ...params, ...over }, durationMs: 1000, mark: `m-${node.name}` } as never,
      on.account,
    ),
  )
async function budget(name: string, app: string, disruptionsAllowed: number): Promise<void> {
  const kind = { group: 'policy', version: 'v1', plural: 'poddisruptionbudgets' }
  const place = { ...kind, namespace: on.namespace }
  const spec = { minAvailable: 1, selector: { matchLabels: { app } } }
  await on.kube.create(resourcePath(place), { metadata: { name }, spec }, { signal: on.signal })
  const status = {
    observedGeneration: 1,
    disruptionsAllowed,
    currentHealthy: 1,
    desiredHealthy: 1,
    expectedPods: 1,
  }
  const path = resourcePath({ ...place, name, subresource: 'status' })
  await on.kube.mergePatch(path, { status }, { signal: on.signal })
}

describe('node-drain on a real API server', () => {
  it('cordons and empties the node, twice the same as once, and uncordons it', async () => {
    const node = await makeNode()
    const ours = { labels: { 'app.kubernetes.io/name': 'chaosplane' } }
    const uid = '00000000-0000-0000-0000-000000000001'
    const of = { apiVersion: 'apps/v1', kind: 'DaemonSet', name: 'agent', uid, controller: true }
    await Promise.all([
      makePod(node, 'a'),
      makePod(node, 'b'),
      makePod(node, 'runner', ours),
      makePod(node, 'agent', { ownerReferences: [of] }),
    ])
    const undo = await plan(node)
    expect(await podsOf(node)).toEqual(['a', 'agent', 'b', 'runner'])
    expect(await cordoned(node)).toBe(false)
    await nodeDrain.inject(node, undo, on.account)
    await nodeDrain.inject(node, undo, on.account)
    expect(await podsOf(node)).toEqual(['agent', 'runner'])
    expect(await nodeDrain.verify(node, undo, on.own)).toEqual({
      evidence: `node ${node.name} is cordoned, 2 pods are gone; these stay: 1 of a DaemonSet, 1 of chaosplane`,
    })
    expect(await nodeDrain.proof(node, undo, on.own)).toMatchObject({
      remaining: [`kubectl uncordon ${node.name}`],
    })
    await nodeDrain.revert(node, undo, on.own)
    await nodeDrain.revert(node, undo, on.own)
    expect(await cordoned(node)).toBe(false)
    expect(await nodeDrain.proof(node, undo, on.own)).toMatchObject({ outcome: 'restored' })
  })

  it('evicts nobody once its runner may not act any more', async () => {
    const node = await makeNode()
    await makePod(node, 'a')
    const undo = await plan(node)
    let writes = 0
    const mayWrite = async () => {
      if (++writes > 1) throw new Error('another runner holds the run')
    }
    const io = { ...on.account, kube: gated(on.kube, mayWrite) }
    await expect(nodeDrain.inject(node, undo, io)).rejects.toThrow('another runner')
    expect(await cordoned(node)).toBe(true)
    expect(await podsOf(node)).toEqual(['a'])
  })

  it('evicts nobody any more after an eviction that is refused for good', async () => {
    const node = await makeNode()
    const names = Array.from({ length: 14 }, (_, i) => `p${10 + i}`)
    await Promise.all(names.map((name) => makePod(node, name)))
    const undo = await plan(node)
    const create: KubeClient['create'] = async (path, body, call) => {
      const refusal = { status: 403, reason: 'Forbidden', message: 'a webhook says no' }
      if (path.includes(`${node.name}-p10/eviction`)) throw new KubeError(refusal)
      // Those beside it are under way when it is refused.
      if (path.endsWith('/eviction')) await delay(200)
      return await on.kube.create(path, body, call)
    }
    const io = { ...on.account, kube: { ...on.kube, create } }
    await expect(nodeDrain.inject(node, undo, io)).rejects.toThrow('a webhook says no')
    const left = await podsOf(node)
    expect(left).toEqual(['p10', 'p20', 'p21', 'p22', 'p23'])
    await delay(600)
    expect(await podsOf(node)).toEqual(left)
  })

  it('leaves a node cordoned that was so before', async () => {
    const node = await makeNode(true)
    await makePod(node, 'a')
    const undo = await plan(node)
    await nodeDrain.inject(node, undo, on.account)
    expect(await podsOf(node)).toEqual([])
    expect(await nodeDrain.verify(node, undo, on.own)).toHaveProperty('evidence')
    await nodeDrain.revert(node, undo, on.own)
    expect(await cordoned(node)).toBe(true)
    expect(await nodeDrain.proof(node, undo, on.own)).toMatchObject({
      outcome: 'restored',
      proof: expect.stringContaining('cordoned, as before'),
    })
  })

  it('sees that somebody uncordoned it, and leaves the cordon of somebody else', async () => {
    const node = await makeNode()
    await makePod(node, 'a')
    const undo = await plan(node)
    await nodeDrain.inject(node, undo, on.account)
    expect(await nodeDrain.holds(node, undo, on.own)).toBe(true)
    await cordon(node, null)
    expect(await nodeDrain.holds(node, undo, on.own)).toBe(false)
    await cordon(node, true)
    await nodeDrain.revert(node, undo, on.own)
    expect(await cordoned(node)).toBe(true)
    expect(await nodeDrain.proof(node, undo, on.own)).toMatchObject({
      outcome: 'changedElsewhere',
      proof: expect.stringContaining('somebody else cordoned it'),
    })
  })

  it('names the pods and the budget that stand in the way, and goes on once the budget allows it', async () => {
    const node = await makeNode()
    await makePod(node, 'free')
    await makePod(node, 'kept', { labels: { app: `kept-${node.name}` } })
    await budget(`keep-${node.name}`, `kept-${node.name}`, 0)
    const undo = await plan(node)
    const soon = AbortSignal.timeout(2500)
    await expect(nodeDrain.inject(node, undo, { ...on.account, signal: soon })).rejects.toThrow(
      new RegExp(`${on.namespace}/${node.name}-kept: .*keep-${node.name}`),
    )
    expect(await podsOf(node)).toEqual(['kept'])
    expect(await nodeDrain.verify(node, undo, on.own)).toEqual({
      missing: `still there: ${on.namespace}/${node.name}-kept`,
    })
    await nodeDrain.revert(node, undo, on.own)
    expect(await cordoned(node)).toBe(false)
    await budget(`late-${node.name}`, `late-${node.name}`, 1)
    const late = await makeNode()
    await makePod(late, 'late', { labels: { app: `late-${node.name}` } })
    await nodeDrain.inject(late, await plan(late), on.account)
    expect(await podsOf(late)).toEqual([])
  })

  it('refuses what it was told not to take, and changes nothing then', async () => {
    const node = await makeNode()
    await makePod(node, 'a')
    await expect(plan(node, { force: false })).rejects.toThrow(
      new RegExp(`${node.name}-a has no controller`),
    )
    const empty = await makeNode(true)
    await expect(plan(empty)).rejects.toThrow(/nothing would change/)
    expect(await cordoned(node)).toBe(false)
  })

  it.each([
    ['patch', 'nodes', [{ ...onNodes, verbs: ['get'] }, onPods, onEvictions]],
    ['list', 'pods', [onNodes, onEvictions]],
    ['create', 'pods/eviction', [onNodes, onPods]],
  ])('without the right to %s %s nothing is done', async (verb, resource, rules) => {
    const node = await makeNode()
    await makePod(node, 'a')
    const user = `system:serviceaccount:${on.namespace}:no-${verb}`
    await allow(on, `node-drain-no-${verb}`, { user, rules })
    const asked = { params, durationMs: 1000, mark: 'm' } as never
    await expect(nodeDrain.plan(node, asked, { ...on.account, as: user })).rejects.toThrow(
      `cannot ${verb} resource "${resource}"`,
    )
    expect(await cordoned(node)).toBe(false)
    expect(await podsOf(node)).toEqual(['a'])
  })

  it('has nothing to do on a node that is gone', async () => {
    const node = await makeNode()
    const undo = await plan(node)
    await nodeDrain.inject(node, undo, on.account)
    await on.kube.remove(pathOf(node), { signal: on.signal })
    await nodeDrain.revert(node, undo, on.own)
    expect(await nodeDrain.proof(node, undo, on.own)).toMatchObject({ outcome: 'noLongerExists' })
    await expect(on.kube.get(pathOf(node), { signal: on.signal })).rejects.toSatisfy(isNotFound)
  })
})
