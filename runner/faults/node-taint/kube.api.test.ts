import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createKubeClient, type KubeClient } from '../../../lib/kube/client.ts'
import { loadKubeConfig } from '../../../lib/kube/config.ts'
import { nodes, resourcePath } from '../../../lib/kube/paths.ts'
import { apiServer } from '../../../test-e2e/setup/worker.ts'
import type { KubeTarget } from '../kube-fault.ts'
import type { Node } from '../nodes.ts'
import { nodeTaint } from './kube.ts'

const signal = AbortSignal.timeout(120_000)
const as = 'system:serviceaccount:node-taint-tests:chaos'
const params = { taints: [{ key: 'chaos', value: 'on', effect: 'NoExecute' as const }] }
const asked = { params, durationMs: 1000, mark: 'm', among: [] }
let kube: KubeClient
let count = 0

beforeAll(async () => {
  kube = createKubeClient({
    config: loadKubeConfig({ file: apiServer().kubeconfig, env: {} }),
    userAgent: 'node-taint-test',
  })
  const rbac = { group: 'rbac.authorization.k8s.io', version: 'v1' }
  const rules = [{ apiGroups: [''], resources: ['nodes'], verbs: ['get', 'patch'] }]
  const metadata = { name: 'node-taint-tests' }
  await kube.create(
    resourcePath({ ...rbac, plural: 'clusterroles' }),
    { metadata, rules },
    { signal },
  )
  const binding = {
    metadata,
    roleRef: { apiGroup: rbac.group, kind: 'ClusterRole', name: metadata.name },
    subjects: [{ kind: 'User', name: as, apiGroup: rbac.group }],
  }
  await kube.create(resourcePath({ ...rbac, plural: 'clusterrolebindings' }), binding, { signal })
})
afterAll(() => kube.close())

type Taints = NonNullable<Node['spec']>['taints']

async function makeNode(taints: Taints = []): Promise<KubeTarget> {
  const name = `taint-${++count}`
  const made = await kube.create<Node>(
    resourcePath(nodes),
    { metadata: { name }, spec: { taints } },
    { signal },
  )
  return { id: `node/${name}`, kind: 'Node', namespace: '', name, uid: made.metadata.uid }
}
/** Without those that the API server itself gives a new node. */
const look = async ({ name }: KubeTarget) => {
  const node = await kube.get<Node>(resourcePath({ ...nodes, name }), { signal })
  return (node.spec?.taints ?? []).filter((t) => !t.key.startsWith('node.kubernetes.io/'))
}
const change = ({ name }: KubeTarget, taints: Taints) =>
  kube.mergePatch(resourcePath({ ...nodes, name }), { spec: { taints } }, { signal })
const account = {
  get kube() {
    return kube
  },
  as,
  signal,
}
const own = {
  get kube() {
    return kube
  },
  signal,
}
/** The undo record as another runner reads it. */
const plan = async (target: KubeTarget) =>
  JSON.parse(JSON.stringify(await nodeTaint.plan(target, asked, account))) as never

describe('node-taint on a real API server', () => {
  const other = { key: 'other', effect: 'NoSchedule' }

  it('puts the taint, twice the same as once, and takes it away again', async () => {
    const target = await makeNode([other])
    const before = await look(target)
    const undo = await plan(target)
    expect(await nodeTaint.verify(target, undo, own)).toHaveProperty('missing')
    await nodeTaint.inject(target, undo, account)
    await nodeTaint.inject(target, undo, account)
    expect(await look(target)).toMatchObject([...before, params.taints[0]])
    expect(await nodeTaint.verify(target, undo, own)).toMatchObject({
      evidence: expect.stringContaining('chaos=on:NoExecute'),
    })
    expect(await nodeTaint.holds(target, undo, own)).toBe(true)
    expect(await nodeTaint.proof(target, undo, own)).toMatchObject({
      remaining: [`kubectl taint nodes ${target.name} chaos:NoExecute-`],
    })
    await nodeTaint.revert(target, undo, own)
    await nodeTaint.revert(target, undo, own)
    expect(await look(target)).toEqual(before)
    expect(await nodeTaint.proof(target, undo, own)).toMatchObject({ outcome: 'restored' })
  })

  it('brings back what stood there with the same key and effect', async () => {
    const target = await makeNode([{ key: 'chaos', value: 'off', effect: 'NoExecute' }, other])
    const before = await look(target)
    const undo = await plan(target)
    await nodeTaint.inject(target, undo, account)
    expect(await look(target)).toMatchObject([params.taints[0], other])
    await nodeTaint.revert(target, undo, own)
    expect(await look(target)).toEqual(before)
  })

  it('leaves alone what somebody else has changed meanwhile, and says so', async () => {
    const target = await makeNode()
    const undo = await plan(target)
    await nodeTaint.inject(target, undo, account)
    const theirs = [{ key: 'chaos', value: 'theirs', effect: 'NoExecute' }, other]
    await change(target, theirs)
    await nodeTaint.revert(target, undo, own)
    expect(await look(target)).toMatchObject(theirs)
    expect(await nodeTaint.proof(target, undo, own)).toMatchObject({ outcome: 'changedElsewhere' })
  })

  it('refuses a taint that is there already', async () => {
    const target = await makeNode(params.taints)
    await expect(plan(target)).rejects.toThrow(/has the taint chaos=on:NoExecute already/)
  })

  it('loses no change of others that come at the same moment', async () => {
    const target = await makeNode()
    const undo = await plan(target)
    const labels = Array.from({ length: 20 }, (_, i) =>
      kube.mergePatch(
        resourcePath({ ...nodes, name: target.name }),
        { metadata: { labels: { [`l${i}`]: 'x' } } },
        { signal },
      ),
    )
    await Promise.all([...labels, nodeTaint.inject(target, undo, account)])
    expect(await look(target)).toMatchObject(params.taints)
  })

  it('has nothing to do on a node that is gone, or on its namesake', async () => {
    const target = await makeNode()
    const undo = await plan(target)
    await nodeTaint.inject(target, undo, account)
    const path = resourcePath({ ...nodes, name: target.name })
    await kube.remove(path, { signal })
    const gone = { outcome: 'noLongerExists' }
    await nodeTaint.revert(target, undo, own)
    expect(await nodeTaint.proof(target, undo, own)).toMatchObject(gone)
    await kube.create(
      resourcePath(nodes),
      { metadata: { name: target.name }, spec: { taints: params.taints } },
      { signal },
    )
    await nodeTaint.revert(target, undo, own)
    expect(await look(target)).toMatchObject(params.taints)
    expect(await nodeTaint.proof(target, undo, own)).toMatchObject(gone)
  })

  it('acts with the rights of the account, and undoes without them', async () => {
    const target = await makeNode()
    const undo = await plan(target)
    const stranger = { ...account, kube, as: 'system:serviceaccount:node-taint-tests:stranger' }
    await expect(nodeTaint.inject(target, undo, stranger)).rejects.toThrow(
      /cannot get resource "nodes"/,
    )
    expect(await look(target)).toEqual([])
  })
})
