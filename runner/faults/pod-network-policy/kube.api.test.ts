import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { networkPolicies, pods, resourcePath } from '../../../lib/kube/paths.ts'
import type { KubeObject } from '../../../lib/kube/types.ts'
import type { Tunables } from '../../../model/fault.ts'
import { apiServer } from '../../../test-e2e/setup/worker.ts'
import { type FaultTest, faultTest, throughStatus } from '../api-testing.ts'
import type { KubeTarget } from '../kube-fault.ts'
import { podNetworkPolicy as definition } from './index.ts'
import { podNetworkPolicy } from './kube.ts'

let on: FaultTest
let count = 0

beforeAll(async () => {
  on = await faultTest(apiServer().kubeconfig, 'pod-network-policy', [
    { apiGroups: ['networking.k8s.io'], resources: ['networkpolicies'], verbs: ['create', 'list'] },
    { apiGroups: [''], resources: ['pods'], verbs: ['get', 'list'] },
    { apiGroups: [''], resources: ['namespaces'], verbs: ['list'] },
  ])
})
afterAll(() => on.kube.close())

type Made = { labels?: Record<string, string>; spec?: object; podIPs?: { ip: string }[] }

async function makePod(
  name: string,
  { labels = {}, spec, podIPs }: Made = {},
): Promise<KubeTarget> {
  const path = resourcePath({ ...pods, namespace: on.namespace })
  const containers = [{ name: 'c', image: 'none' }]
  const pod = await on.kube.create<KubeObject>(
    path,
    {
      metadata: { name, labels },
      spec: { containers, automountServiceAccountToken: false, ...spec },
    },
    { signal: on.signal },
  )
  if (podIPs)
    await on.kube.mergePatch(
      `${path}/${name}/status`,
      { status: { podIPs } },
      { signal: on.signal },
    )
  const id = `${on.namespace}/${name}`
  return { id, kind: 'Pod', namespace: on.namespace, name, uid: pod.metadata.uid }
}
/** Pods of one workload: they have the same labels. */
const makeWeb = async (replicas: number): Promise<KubeTarget[]> => {
  const app = `web-${++count}`
  const made = Array.from({ length: replicas }, (_, i) =>
    makePod(`${app}-${i}`, { labels: { app } }),
  )
  return Promise.all(made)
}
type Policy = KubeObject & { spec: Record<string, unknown> }
const policies = async (): Promise<Policy[]> => {
  const path = resourcePath({ ...networkPolicies, namespace: on.namespace })
  return (await on.kube.list<Policy>(path, { signal: on.signal })).items
}
const pathOf = (name: string) => resourcePath({ ...networkPolicies, namespace: on.namespace, name })

async function plan(target: KubeTarget, among: KubeTarget[], env: Tunables = {}) {
  const params = definition.fromLitmus(env, 'pod-network-policy')
  const asked = { params, durationMs: 1000, mark: `m-${target.name}`, among }
  return throughStatus(await podNetworkPolicy.plan(target, asked as never, on.account))
}

describe('pod-network-policy on a real API server', () => {
  it('makes one policy, twice the same as once, says what it did not look at, and takes it away', async () => {
    const [web] = (await makeWeb(1)) as [KubeTarget]
    const undo = await plan(web, [web], { POLICY_TYPES: 'egress' })
    expect(await policies()).toEqual([])
    await podNetworkPolicy.inject(web, undo, on.account)
    await podNetworkPolicy.inject(web, undo, on.account)
    const [policy, ...more] = await policies()
    expect(more).toEqual([])
    expect(policy?.spec).toEqual({
      podSelector: { matchLabels: { app: 'web-1' } },
      policyTypes: ['Egress'],
    })
    expect(await podNetworkPolicy.verify(web, undo, on.own)).toEqual({
      evidence: expect.stringMatching(
        /selects web-1-0; whether packets are dropped is up to the CNI/,
      ),
    })
    expect(await podNetworkPolicy.proof(web, undo, on.own)).toMatchObject({
      remaining: [`kubectl -n ${on.namespace} delete networkpolicy ${policy?.metadata.name}`],
    })
    await podNetworkPolicy.revert(web, undo, on.own)
    await podNetworkPolicy.revert(web, undo, on.own)
    expect(await policies()).toEqual([])
    expect(await podNetworkPolicy.proof(web, undo, on.own)).toMatchObject({ outcome: 'restored' })
  })

  it('never reaches further than the targets', async () => {
    const web = (await makeWeb(2)) as [KubeTarget, KubeTarget]
    await expect(plan(web[0], [web[0]])).rejects.toThrow(
      new RegExp(`also on ${web[1].name}, which are no targets`),
    )
    await expect(plan(web[0], web)).resolves.toMatchObject({ pods: web.map((w) => w.name) })
  })

  it('stands for the addresses of the pods that are named by labels', async () => {
    const [web] = (await makeWeb(1)) as [KubeTarget]
    await makePod('db', {
      labels: { app: 'db' },
      podIPs: [{ ip: '10.244.0.9' }, { ip: 'fd00::9' }],
    })
    const undo = await plan(web, [web], { POD_SELECTOR: 'app=db', POLICY_TYPES: 'egress' })
    expect((undo as { spec: object }).spec).toMatchObject({
      egress: [
        {
          to: [
            { ipBlock: { cidr: '0.0.0.0/0', except: ['10.244.0.9/32'] } },
            { ipBlock: { cidr: '::/0', except: ['fd00::9/128'] } },
          ],
        },
      ],
    })
    await podNetworkPolicy.inject(web, undo, on.account)
    expect(await policies()).toHaveLength(1)
    await podNetworkPolicy.revert(web, undo, on.own)
    await expect(plan(web, [web], { POD_SELECTOR: 'app=none' })).rejects.toThrow(/match no pod/)
    // others may have the address of a pod that has ended
    await makePod('ended', { labels: { app: 'ended' }, podIPs: [{ ip: '10.244.0.8' }] })
    const ended = `${resourcePath({ ...pods, namespace: on.namespace })}/ended/status`
    await on.kube.mergePatch(ended, { status: { phase: 'Failed' } }, { signal: on.signal })
    await expect(plan(web, [web], { POD_SELECTOR: 'app=ended' })).rejects.toThrow(/match no pod/)
    const metadata = `kubernetes.io/metadata.name=${on.namespace}`
    await expect(
      plan(web, [web], { NAMESPACE_SELECTOR: metadata, POD_SELECTOR: 'app=db' }),
    ).resolves.toBeTruthy()
  })

  it('refuses where another policy allows what it would forbid', async () => {
    const [web] = (await makeWeb(1)) as [KubeTarget]
    const spec = { podSelector: {}, policyTypes: ['Ingress'], ingress: [{}] }
    const place = resourcePath({ ...networkPolicies, namespace: on.namespace })
    await on.kube.create(place, { metadata: { name: 'theirs' }, spec }, { signal: on.signal })
    try {
      await expect(plan(web, [web])).rejects.toThrow(/NetworkPolicy theirs selects/)
      await expect(plan(web, [web], { POLICY_TYPES: 'egress' })).resolves.toBeTruthy()
    } finally {
      await on.kube.remove(pathOf('theirs'), { signal: on.signal })
    }
  })

  it('sees that somebody edited or removed it, and leaves a namesake alone', async () => {
    const [web] = (await makeWeb(1)) as [KubeTarget]
    const undo = await plan(web, [web])
    const { name } = undo as { name: string }
    await podNetworkPolicy.inject(web, undo, on.account)
    expect(await podNetworkPolicy.holds(web, undo, on.own)).toBe(true)
    await on.kube.mergePatch(
      pathOf(name),
      { spec: { policyTypes: ['Egress'] } },
      { signal: on.signal },
    )
    expect(await podNetworkPolicy.holds(web, undo, on.own)).toBe(false)
    await on.kube.remove(pathOf(name), { signal: on.signal })
    const place = resourcePath({ ...networkPolicies, namespace: on.namespace })
    await on.kube.create(
      place,
      { metadata: { name }, spec: { podSelector: {} } },
      { signal: on.signal },
    )
    await podNetworkPolicy.revert(web, undo, on.own)
    expect((await policies()).map((p) => p.metadata.name)).toEqual([name])
    expect(await podNetworkPolicy.proof(web, undo, on.own)).toMatchObject({
      outcome: 'changedElsewhere',
      proof: expect.stringContaining(name),
    })
    await on.kube.remove(pathOf(name), { signal: on.signal })
  })

  it('takes it away also when somebody has taken off the label by which it is known', async () => {
    const [web] = (await makeWeb(1)) as [KubeTarget]
    const undo = await plan(web, [web], { PORTS: 'tcp: [80]', DESTINATION_IPS: '10.9.8.7' })
    const { name } = undo as { name: string }
    await podNetworkPolicy.inject(web, undo, on.account)
    const labels = { 'chaos.chaosplane.io/mark': null }
    await on.kube.mergePatch(pathOf(name), { metadata: { labels } }, { signal: on.signal })
    expect(await podNetworkPolicy.proof(web, undo, on.own)).toMatchObject({
      left: expect.stringContaining(name),
    })
    await podNetworkPolicy.revert(web, undo, on.own)
    expect(await policies()).toEqual([])
  })

  it('refuses where somebody else forbids the same already: nothing would change', async () => {
    const [web] = (await makeWeb(1)) as [KubeTarget]
    const { spec } = (await plan(web, [web])) as { spec: object }
    const place = resourcePath({ ...networkPolicies, namespace: on.namespace })
    await on.kube.create(place, { metadata: { name: 'theirs' }, spec }, { signal: on.signal })
    try {
      await expect(plan(web, [web])).rejects.toThrow(/NetworkPolicy theirs selects/)
    } finally {
      await on.kube.remove(pathOf('theirs'), { signal: on.signal })
    }
  })

  it('plans beside the policy of another pod of the workload, which says the same', async () => {
    const web = (await makeWeb(2)) as [KubeTarget, KubeTarget]
    const first = await plan(web[0], web)
    await podNetworkPolicy.inject(web[0], first, on.account)
    const second = await plan(web[1], web)
    await podNetworkPolicy.inject(web[1], second, on.account)
    expect(await policies()).toHaveLength(2)
    await expect(plan(web[0], web, { POLICY_TYPES: 'egress' })).rejects.toThrow(/selects/)
    await podNetworkPolicy.revert(web[0], first, on.own)
    await podNetworkPolicy.revert(web[1], second, on.own)
    expect(await policies()).toEqual([])
  })

  it('takes the policy away also when the pod is gone', async () => {
    const [web] = (await makeWeb(1)) as [KubeTarget]
    const undo = await plan(web, [web])
    await podNetworkPolicy.inject(web, undo, on.account)
    const path = resourcePath({ ...pods, namespace: on.namespace, name: web.name })
    await on.kube.remove(path, { signal: on.signal, gracePeriodSeconds: 0 })
    await podNetworkPolicy.revert(web, undo, on.own)
    expect(await policies()).toEqual([])
    expect(await podNetworkPolicy.proof(web, undo, on.own)).toMatchObject({
      outcome: 'noLongerExists',
    })
  })

  it('refuses pods of the node network, and accounts without the right', async () => {
    const host = await makePod('host', { labels: { app: 'host' }, spec: { hostNetwork: true } })
    await expect(plan(host, [host])).rejects.toThrow(/network of its node/)
    const bare = await makePod('bare')
    await expect(plan(bare, [bare])).rejects.toThrow(/no label/)
    const [web] = (await makeWeb(1)) as [KubeTarget]
    const params = definition.fromLitmus({}, 'pod-network-policy')
    const asked = { params, durationMs: 1, mark: 'm', among: [web] } as never
    await expect(podNetworkPolicy.plan(web, asked, on.stranger)).rejects.toThrow(
      'cannot get resource "pods"',
    )
  })
})
