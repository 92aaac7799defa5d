import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  deployments,
  horizontalPodAutoscalers,
  resourcePath,
  statefulSets,
} from '../../../lib/kube/paths.ts'
import type { KubeObject } from '../../../lib/kube/types.ts'
import { apiServer } from '../../../test-e2e/setup/worker.ts'
import { type FaultTest, faultTest, throughStatus } from '../api-testing.ts'
import type { KubeTarget } from '../kube-fault.ts'
import { podAutoscaler, seenOf } from './kube.ts'

const kinds = { Deployment: deployments, StatefulSet: statefulSets }
const asked = { params: { replicas: 5, timeoutMs: 60_000 }, durationMs: 1000, mark: 'm' } as const
let on: FaultTest
let count = 0

beforeAll(async () => {
  const resources = ['deployments/scale', 'statefulsets/scale']
  const rules = [{ apiGroups: ['apps'], resources, verbs: ['get', 'patch'] }]
  on = await faultTest(apiServer().kubeconfig, 'pod-autoscaler', rules)
})
afterAll(() => on.kube.close())

async function make(kind: keyof typeof kinds, replicas = 2): Promise<KubeTarget> {
  const name = `scale-${++count}`
  const labels = { app: name }
  const template = {
    metadata: { labels },
    spec: { containers: [{ name: 'c', image: 'none' }] },
  }
  const body = {
    metadata: { name },
    spec: { replicas, selector: { matchLabels: labels }, serviceName: name, template },
  }
  if (kind === 'Deployment') delete (body.spec as { serviceName?: string }).serviceName
  const path = resourcePath({ ...kinds[kind], namespace: on.namespace })
  const made = await on.kube.create<KubeObject>(path, body, { signal: on.signal })
  const id = `${kind.toLowerCase()}/${on.namespace}/${name}`
  return { id, kind, namespace: on.namespace, name, uid: made.metadata.uid }
}
const pathOf = ({ kind, namespace, name }: KubeTarget, subresource?: string) =>
  resourcePath({
    ...kinds[kind as keyof typeof kinds],
    namespace,
    name,
    ...(subresource ? { subresource } : {}),
  })
const replicas = async (target: KubeTarget) =>
  (await on.kube.get<{ spec: { replicas: number } }>(pathOf(target), { signal: on.signal })).spec
    .replicas
const scale = (target: KubeTarget, to: number) =>
  on.kube.mergePatch(pathOf(target), { spec: { replicas: to } }, { signal: on.signal })
/** No controller runs here: what it would tell is written in its place. */
const tell = (target: KubeTarget, status: object) =>
  on.kube.mergePatch(pathOf(target, 'status'), { status }, { signal: on.signal })
const plan = async (target: KubeTarget) =>
  throughStatus(await podAutoscaler.plan(target, asked as never, on.account))

describe.each(['Deployment', 'StatefulSet'] as const)('pod-autoscaler of a %s', (kind) => {
  it('scales, twice the same as once, sees the replicas, and scales back', async () => {
    const target = await make(kind)
    const undo = await plan(target)
    expect(await replicas(target)).toBe(2)
    await podAutoscaler.inject(target, undo, on.account)
    await podAutoscaler.inject(target, undo, on.account)
    expect(await replicas(target)).toBe(5)
    await tell(target, { replicas: 5, readyReplicas: 4 })
    expect(await podAutoscaler.verify(target, undo, on.own)).toEqual({
      missing: '5 replicas are there and 4 are ready, 5 are wanted',
    })
    await tell(target, { replicas: 5, readyReplicas: 5 })
    expect(await podAutoscaler.verify(target, undo, on.own)).toHaveProperty('evidence')
    expect(await podAutoscaler.proof(target, undo, on.own)).toMatchObject({
      remaining: [
        `kubectl -n ${on.namespace} scale ${kind.toLowerCase()} ${target.name} --replicas=2`,
      ],
    })
    await podAutoscaler.revert(target, undo, on.own)
    expect(await replicas(target)).toBe(2)
    expect(await podAutoscaler.proof(target, undo, on.own)).toMatchObject({ outcome: 'restored' })
  })

  it('leaves alone the number that somebody else has set', async () => {
    const target = await make(kind)
    const undo = await plan(target)
    await podAutoscaler.inject(target, undo, on.account)
    expect(await podAutoscaler.holds(target, undo, on.own)).toBe(true)
    await scale(target, 3)
    expect(await podAutoscaler.holds(target, undo, on.own)).toBe(false)
    await podAutoscaler.revert(target, undo, on.own)
    expect(await replicas(target)).toBe(3)
    expect(await podAutoscaler.proof(target, undo, on.own)).toMatchObject({
      outcome: 'changedElsewhere',
    })
  })

  it('has nothing to do when the workload is gone, or another one has its name', async () => {
    const target = await make(kind)
    const undo = await plan(target)
    await podAutoscaler.inject(target, undo, on.account)
    await on.kube.remove(pathOf(target), { signal: on.signal, uid: target.uid })
    const gone = { outcome: 'noLongerExists' }
    await podAutoscaler.revert(target, undo, on.own)
    expect(await podAutoscaler.proof(target, undo, on.own)).toMatchObject(gone)
    count--
    const namesake = await make(kind, 5)
    expect(namesake.name).toBe(target.name)
    await podAutoscaler.revert(target, undo, on.own)
    expect(await replicas(namesake)).toBe(5)
    expect(await podAutoscaler.proof(target, undo, on.own)).toMatchObject(gone)
  })

  it('refuses what an autoscaler scales, by its name', async () => {
    const target = await make(kind)
    const scaleTargetRef = { apiVersion: 'apps/v1', kind, name: target.name }
    await on.kube.create(
      resourcePath({ ...horizontalPodAutoscalers, namespace: on.namespace }),
      { metadata: { name: `auto-${target.name}` }, spec: { maxReplicas: 3, scaleTargetRef } },
      { signal: on.signal },
    )
    await expect(plan(target)).rejects.toThrow(`HorizontalPodAutoscaler auto-${target.name}`)
  })

  it('refuses to change nothing, and to scale what was scaled since it was planned', async () => {
    await expect(plan(await make(kind, 5))).rejects.toThrow(/has 5 replicas already/)
    const target = await make(kind)
    const undo = await plan(target)
    await scale(target, 3)
    await expect(podAutoscaler.inject(target, undo, on.account)).rejects.toThrow(/scaled .* to 3/)
    expect(await replicas(target)).toBe(3)
  })

  it('says at planning which right is missing', async () => {
    const target = await make(kind)
    await expect(podAutoscaler.plan(target, asked as never, on.stranger)).rejects.toThrow(
      `cannot get resource "${kind.toLowerCase()}s/scale"`,
    )
  })
})

it('tells why replicas do not come', () =>
  expect(
    seenOf(
      {
        metadata: { name: 'x', uid: 'u', resourceVersion: '1' },
        spec: { replicas: 5 },
        status: {
          replicas: 2,
          readyReplicas: 2,
          conditions: [
            { type: 'ReplicaFailure', status: 'True', message: 'exceeded quota: small' },
          ],
        },
      },
      { before: 2, wanted: 5 },
    ),
  ).toEqual({
    missing: '2 replicas are there and 2 are ready, 5 are wanted: exceeded quota: small',
  }))
