import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { KubeClient } from '../lib/kube/client.ts'
import { namespaces, pods, resourcePath } from '../lib/kube/paths.ts'
import type { KubeObject } from '../lib/kube/types.ts'
import { PosedRunner } from './run/testing/posed-runner.ts'

const namespace = 'takeover-tests'
const at = 'takeover-shop'
let kube: KubeClient
let runner: PosedRunner

beforeAll(async () => {
  runner = await PosedRunner.alone(namespace, {}, { unruly: true })
  kube = runner.kube
  await kube.create(resourcePath(namespaces), { metadata: { name: at } }, runner.call)
  await runner.makeNode('till-node')
})
afterAll(() => runner?.end())

/** A pod that runs, as far as anybody can see. */
async function makeTarget(): Promise<void> {
  const body = {
    metadata: { name: 'till', labels: { app: 'till' } },
    spec: {
      nodeName: 'till-node',
      automountServiceAccountToken: false,
      containers: [{ name: 'app', image: 'a' }],
    },
  }
  await kube.create(resourcePath({ ...pods, namespace: at }), body, runner.call)
  const app = {
    name: 'app',
    image: 'a',
    imageID: 'a',
    ready: true,
    restartCount: 0,
    containerID: `containerd://${'a'.repeat(64)}`,
    state: { running: {} },
  }
  const status = {
    phase: 'Running',
    conditions: [{ type: 'Ready', status: 'True' }],
    containerStatuses: [app],
  }
  const path = resourcePath({ ...pods, namespace: at, name: 'till', subresource: 'status' })
  await kube.mergePatch(path, { status }, runner.call)
}

async function faultPods(): Promise<string[]> {
  const query = { labelSelector: 'chaos.chaosplane.io/part=fault-pod' }
  const path = resourcePath({ ...pods, namespace })
  const { items } = await kube.list<KubeObject>(path, { ...runner.call, query })
  return items.map(({ metadata }) => metadata.name)
}

it('a runner that takes over begins when it has seen the fault pods: those that are at work are not replaced', async () => {
  await makeTarget()
  await runner.create('burn', {
    target: { kind: 'Pod', namespace: at, labelSelector: { matchLabels: { app: 'till' } } },
    action: { type: 'pod-cpu-stress', parameters: {} },
  })
  await expect.poll(faultPods, { timeout: 20_000 }).toHaveLength(1)
  const before = await faultPods()
  await runner.replace(async () => {
    const isOfPods = (url: string) => url.includes('part%3Dfault-pod') && !url.includes('watch=')
    const slow = Date.now() + 2000
    runner.proxy.rule((method, url) =>
      method === 'GET' && isOfPods(url) && Date.now() < slow
        ? { do: 'answer', status: 503 }
        : { do: 'pass' },
    )
  })
  await runner.until('burn', ({ adoptions }) => adoptions > 0)
  await delay(2500)
  expect(await faultPods()).toEqual(before)
})
