import { pino } from 'pino'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { createKubeClient, type KubeClient } from '../../lib/kube/client.ts'
import { loadKubeConfig } from '../../lib/kube/config.ts'
import { leases, namespaces, resourcePath } from '../../lib/kube/paths.ts'
import { createStore } from '../../lib/kube/store.ts'
import { keyOf } from '../../lib/kube/types.ts'
import { apiServer } from '../../test-e2e/setup/worker.ts'
import { RunnerCensus, type RunnerLease } from '../runners.ts'
import { createLeaseSweep, keptMs } from './leases.ts'

const namespace = 'lease-sweep'
const signal = AbortSignal.timeout(60_000)
let kube: KubeClient

beforeAll(async () => {
  const config = loadKubeConfig({ file: apiServer().kubeconfig, env: {} })
  kube = createKubeClient({ config, userAgent: 'tests/1' })
  const body = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } }
  await kube.create(resourcePath(namespaces), body, { signal })
})
afterAll(() => kube?.close())

const make = (name: string) =>
  kube.create<RunnerLease>(
    resourcePath({ ...leases, namespace }),
    {
      apiVersion: 'coordination.k8s.io/v1',
      kind: 'Lease',
      metadata: { name, namespace },
      spec: { holderIdentity: '', leaseDurationSeconds: 5 },
    },
    { signal },
  )
const isThere = async (name: string) =>
  (await kube.find(resourcePath({ ...leases, namespace, name }), { signal })) !== undefined

it('goes when the pod is gone and it has been silent for long, and not before', async () => {
  const store = createStore<RunnerLease>()
  let now = 0
  const census = new RunnerCensus(store, () => now)
  const pods = new Set(['chaosplane-runner-a', 'chaosplane-runner-b'])
  const pass = createLeaseSweep({
    client: kube,
    leases: store,
    hasPod: (lease) => pods.has(lease),
    silentMs: (lease) => census.silentMs(lease),
    log: pino({ level: 'silent' }),
  })
  const [a, b] = [await make('chaosplane-runner-a'), await make('chaosplane-runner-b')]
  store.replace([a, b])

  now = keptMs + 1
  expect(await pass(keyOf(a), signal)).toEqual({ next: 'idle' })
  expect(await isThere(a.metadata.name)).toBe(true)

  pods.delete(a.metadata.name)
  const moved = { ...a, metadata: { ...a.metadata, resourceVersion: '999999' } }
  store.apply({ type: 'MODIFIED', object: moved })
  now += 1000
  expect(await pass(keyOf(a), signal)).toMatchObject({ next: 'again', inMs: keptMs - 1000 })
  expect(await isThere(a.metadata.name)).toBe(true)

  now += keptMs
  expect(await pass(keyOf(a), signal)).toEqual({ next: 'idle' })
  expect(await isThere(a.metadata.name)).toBe(false)
  // again, while the cache is behind
  expect(await pass(keyOf(a), signal)).toEqual({ next: 'idle' })

  expect(await pass(keyOf(b), signal)).toEqual({ next: 'idle' })
  expect(await isThere(b.metadata.name)).toBe(true)
})
