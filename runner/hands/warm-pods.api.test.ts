import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { systemClock } from '../../lib/clock.ts'
import { createKubeClient, type KubeClient } from '../../lib/kube/client.ts'
import { loadKubeConfig } from '../../lib/kube/config.ts'
import { namespaces, pods, resourcePath } from '../../lib/kube/paths.ts'
import { createReflector } from '../../lib/kube/reflector.ts'
import { silentLog } from '../../lib/log.ts'
import type { NodeOrder } from '../../model/fault-pod.ts'
import { podName } from '../../model/fault-pod-recovery.ts'
import { faultPodLabels, warmLabels, warmPod } from '../../model/fault-pod-spec.ts'
import type { WarmMode } from '../../model/warm-pod.ts'
import { apiServer } from '../../test-e2e/setup/worker.ts'
import type { Pod } from './pod-cache.ts'
import { WarmPods } from './warm-pods.ts'

const namespace = 'warm-tests'
const capabilities = ['SYS_ADMIN', 'SYS_PTRACE']
const call = { signal: AbortSignal.timeout(240_000) }
let end = new AbortController()
const image = 'i:1'
let kube: KubeClient
let made = 0

const place = (name?: string, subresource?: string) =>
  resourcePath({
    ...pods,
    namespace,
    ...(name ? { name } : {}),
    ...(subresource ? { subresource } : {}),
  })

const orderOf = (run: string, node = 'n1'): NodeOrder => ({
  protocol: 1,
  cluster: 'c',
  node,
  run,
  task: 'hog',
  resource: { kind: 'ChaosExperiment', namespace: 'v2', name: 'x', uid: `uid-${run}` },
  fault: 'pod-cpu-hog',
  params: {},
  targets: [],
  holdMs: 1,
  start: 'now',
  attempt: 1,
  after: 0,
  armedForMs: 1,
})

const common = {
  image,
  imagePullPolicy: 'IfNotPresent' as const,
  imagePullSecrets: ['registry'],
  owner: null,
  priorityClassName: null,
}

/** A warm pod whose containers run, as kubelet would say. */
async function pose(node = 'n1', of = image): Promise<Pod> {
  const name = `warm-${++made}`
  const body = warmPod({ ...common, image: of, name, namespace, node, capabilities, idleMs: 1 })
  await kube.create(place(), body, call)
  const containerStatuses = ['fault', 'guard'].map((container) => ({
    name: container,
    image: of,
    imageID: of,
    ready: true,
    restartCount: 0,
    state: { running: { startedAt: new Date().toISOString() } },
  }))
  const status = { phase: 'Running', containerStatuses }
  return kube.mergePatch<Pod>(place(name, 'status'), { status }, call)
}

/** The warm pods of one runner, with a view of its own. */
function runner(mode: WarmMode, kubeOf = kube) {
  const query = { labelSelector: `${faultPodLabels.part}=fault-pod` }
  const reflector = createReflector<Pod>({ client: kube, path: place(), query, onError: () => {} })
  void reflector.run(end.signal)
  const parts = { ...common, kube: kubeOf, clock: systemClock, log: silentLog(), namespace, mode }
  const warm = new WarmPods({
    ...parts,
    cache: reflector.store,
    newSuffix: () => `made-${++made}`,
  })
  return { warm, cache: reflector.store }
}

const sees = async ({ cache }: ReturnType<typeof runner>, pod: Pod): Promise<void> => {
  const version = () => cache.get(`${namespace}/${pod.metadata.name}`)?.metadata.resourceVersion
  await expect.poll(version, { timeout: 10_000 }).toBe(pod.metadata.resourceVersion)
}
const list = async (): Promise<Pod[]> => (await kube.list<Pod>(place(), call)).items
/** Those that nobody has told to go: there is no kubelet here that would end them. */
const all = async (): Promise<string[]> =>
  (await list())
    .filter(({ metadata }) => !metadata.deletionTimestamp)
    .map(({ metadata }) => metadata.name)
    .sort()

beforeAll(async () => {
  const config = loadKubeConfig({ file: apiServer().kubeconfig, env: {} })
  kube = createKubeClient({ config, userAgent: 'tests/1' })
  await kube.create(resourcePath(namespaces), { metadata: { name: namespace } }, call)
})
afterEach(async () => {
  // with them go those that tend the pods
  end.abort()
  end = new AbortController()
  for (const { metadata } of await list())
    await kube.remove(place(metadata.name), { ...call, gracePeriodSeconds: 0 })
})
afterAll(async () => {
  await kube.close()
})

describe('the claim of a warm pod', () => {
  it('is won by one of many that see it at once; all labels of a fault pod are on it then', async () => {
    const from = Date.now() - 1
    const runners = Array.from({ length: 5 }, () => runner('idle'))
    for (let round = 0; round < 10; round++) {
      const pod = await pose()
      await Promise.all(runners.map((one) => sees(one, pod)))
      const claims = await Promise.all(
        runners.map(({ warm }, n) =>
          warm.claim(orderOf(`r${round}-${n}`), capabilities, call.signal),
        ),
      )
      const winner = claims.findIndex((name) => name !== null)
      expect(claims.filter((name) => name !== null)).toEqual([pod.metadata.name])
      const { metadata } = await kube.get<Pod>(place(pod.metadata.name), call)
      const order = orderOf(`r${round}-${winner}`)
      expect(metadata.labels).toMatchObject({
        [warmLabels.warm]: 'claimed',
        [faultPodLabels.serves]: podName(order, 1),
        [faultPodLabels.run]: order.run,
        [faultPodLabels.uid]: order.resource.uid,
        [faultPodLabels.attempt]: '1',
      })
      expect(Number(metadata.labels?.[warmLabels.claimedAt])).toBeGreaterThan(from)
      await kube.remove(place(pod.metadata.name), { ...call, gracePeriodSeconds: 0 })
    }
  })

  it('looks again when kubelet has written meanwhile', async () => {
    const one = runner('idle')
    const pod = await pose()
    await sees(one, pod)
    let writes = 0
    const late: KubeClient = {
      ...kube,
      async mergePatch<T>(...args: Parameters<KubeClient['mergePatch']>): Promise<T> {
        const status = { message: `written ${++writes}` }
        if (writes < 3) await kube.mergePatch(place(pod.metadata.name, 'status'), { status }, call)
        return kube.mergePatch<T>(...args)
      },
    }
    const { warm, cache } = runner('idle', late)
    await sees({ warm, cache }, pod)
    expect(await warm.claim(orderOf('late'), capabilities, call.signal)).toBe(pod.metadata.name)
    expect(writes).toBe(3)
  })

  it('takes one of its node and version only, and none where they are not wanted', async () => {
    const [idle, none] = [runner('idle'), runner('none')]
    await pose('n2')
    const pod = await pose('n1', 'i:0')
    await Promise.all([sees(idle, pod), sees(none, pod)])
    expect(await idle.warm.claim(orderOf('a'), capabilities, call.signal)).toBeNull()
    expect(await idle.warm.claim(orderOf('a', 'n2'), ['SYS_PTRACE'], call.signal)).toBeNull()
    expect(await none.warm.claim(orderOf('a', 'n2'), capabilities, call.signal)).toBeNull()
    expect(await idle.warm.claim(orderOf('a', 'n2'), capabilities, call.signal)).not.toBeNull()
  })
})

describe('warm pods that nobody will claim', () => {
  it('go when they are not wanted any more; what a run has claimed stays', async () => {
    const [idle, none] = [runner('idle'), runner('none')]
    const [free, taken] = [await pose(), await pose()]
    await sees(idle, taken)
    const claimed = await idle.warm.claim(orderOf('b'), capabilities, call.signal)
    expect(claimed).not.toBeNull()
    await none.warm.tend(end.signal)
    await expect.poll(all, { timeout: 10_000 }).toEqual([claimed])
    expect([free, taken].map(({ metadata }) => metadata.name)).toContain(claimed)
    // and one that comes later
    await pose()
    await expect.poll(all, { timeout: 10_000 }).toEqual([claimed])
  })

  it('go when they are of another version or have ended; others stay', async () => {
    const { warm } = runner('idle')
    const [keep, old, over] = [await pose(), await pose('n1', 'i:0'), await pose('n2')]
    const status = { phase: 'Succeeded' }
    await kube.mergePatch(place(over.metadata.name, 'status'), { status }, call)
    await warm.tend(end.signal)
    await expect.poll(all, { timeout: 10_000 }).toEqual([keep.metadata.name])
    expect(old.metadata.name).not.toBe(keep.metadata.name)
  })

  it('one is left after a run, and no second one beside it', async () => {
    const idle = runner('idle')
    await idle.cache.synced(call.signal)
    for (let n = 0; n < 3; n++) idle.warm.leave('n3', capabilities, call.signal)
    await expect.poll(async () => (await all()).length, { timeout: 10_000 }).toBe(1)
    const [name = ''] = await all()
    const made = await kube.get<Pod>(place(name), call)
    expect(made.spec).toMatchObject({ imagePullSecrets: [{ name: 'registry' }] })
    await sees(idle, made)
    idle.warm.leave('n3', capabilities, call.signal)
    idle.warm.leave('n3', ['SYS_PTRACE'], call.signal)
    await expect.poll(async () => (await all()).length, { timeout: 10_000 }).toBe(2)
    const other = runner('daemonset')
    await other.cache.synced(call.signal)
    other.warm.leave('n4', capabilities, call.signal)
    await new Promise((done) => setTimeout(done, 300))
    expect(await all()).toHaveLength(2)
  })
})
