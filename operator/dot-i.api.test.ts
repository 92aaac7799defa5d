import dotI, { type ResourceEvent } from '@dot-i/k8s-operator'
import { KubeConfig } from '@kubernetes/client-node'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { createKubeClient, type KubeClient } from '../lib/kube/client.ts'
import { loadKubeConfig } from '../lib/kube/config.ts'
import { makeRoom, type Room, things } from '../lib/kube/testing/things.ts'
import { startUnrulyProxy, type UnrulyProxy } from '../lib/kube/testing/unruly-proxy.ts'
import { until } from '../lib/kube/testing/until.ts'
import { silentLog } from '../lib/log.ts'
import { type ControlPlane, startControlPlane } from '../test-e2e/cluster/control-plane.ts'
import { ChaosOperator, type OperatorSettings } from './dot-i.ts'

type Handler = (event: ResourceEvent, operator: TestOperator) => Promise<void>

class TestOperator extends ChaosOperator {
  readonly #namespace: string
  readonly #handle: Handler
  constructor(settings: OperatorSettings, of: { namespace: string; handle: Handler }) {
    super(settings)
    this.#namespace = of.namespace
    this.#handle = of.handle
  }
  protected override async init(): Promise<void> {
    const { group, version, plural } = things
    const handle = (event: ResourceEvent) => this.#handle(event, this)
    await this.watchResource(group, version, plural, handle, this.#namespace)
  }
  status(event: ResourceEvent, status: object) {
    return this.setResourceStatus(event.meta, status)
  }
  finalizer(event: ResourceEvent, name: string, clean: () => Promise<void>) {
    return this.handleResourceFinalizer(event, name, clean)
  }
  server() {
    return this.kubeConfig.getCurrentCluster()?.server
  }
}

let plane: ControlPlane
let direct: KubeClient
let client: KubeClient
let proxy: UnrulyProxy
const stops: (() => Promise<unknown>)[] = []

beforeAll(async () => {
  plane = await startControlPlane()
  const config = loadKubeConfig({ file: plane.kubeconfig, env: {} })
  direct = createKubeClient({ config, userAgent: 'tests/1' })
  proxy = await startUnrulyProxy(plane.kubeconfig)
  client = createKubeClient({ config: proxy.config, userAgent: 'operator-under-test/1' })
})
afterEach(async () => {
  proxy.obey()
  for (const stop of stops.splice(0)) await stop()
})
afterAll(async () => {
  await Promise.all([direct?.close(), client?.close()])
  await proxy?.close()
  await plane?.down()
})

const settings = (): OperatorSettings => ({
  client,
  config: proxy.config,
  log: silentLog(),
  fieldManager: 'test-operator',
})
const call = () => ({ signal: AbortSignal.timeout(30_000) })

async function operate(space: string, handle: Handler) {
  const room = await makeRoom(direct, space)
  const operator = new TestOperator(settings(), { namespace: space, handle })
  await operator.start()
  stops.push(() => operator.stop())
  return { room, operator }
}

it('needs no kubeconfig of the user, and puts the loading of one back as it was', () => {
  vi.stubEnv('KUBECONFIG', '/nowhere/broken')
  const original = KubeConfig.prototype.loadFromDefault
  const operator = new TestOperator(settings(), { namespace: 'x', handle: async () => {} })
  expect(operator.server()).toBe(proxy.config.getCurrentCluster()?.server)
  expect(KubeConfig.prototype.loadFromDefault).toBe(original)
  expect(operator).toBeInstanceOf(dotI.default)
  vi.unstubAllEnvs()
})

describe('a resource', () => {
  const log = () => {
    const told: string[] = []
    const handle: Handler = async ({ type, meta }) => {
      told.push(`${type} ${meta.name}`)
    }
    return { told, handle }
  }

  it('whose deletion falls into a gap of the watch is told as deleted; the process lives', async () => {
    const exit = vi.spyOn(process, 'exit').mockImplementation(() => {
      throw new Error('process.exit was called')
    })
    const { told, handle } = log()
    const { room } = await operate('gap', handle)
    await room.create('a')
    await room.create('b')
    await until('both are told', () => told.length === 2)
    for (const fate of [{ do: 'reset' }, { do: 'answer', status: 500 }] as const) {
      proxy.rule((_m, url) => (url.includes('watch=true') ? fate : { do: 'pass' }))
      proxy.cutWatches('reset')
      await new Promise((resolve) => setTimeout(resolve, 300))
    }
    await direct.remove(room.path('a'), call())
    proxy.obey()
    await until('the deletion is told', () => told.includes('DELETED a'))
    expect(told).toEqual(['ADDED a', 'ADDED b', 'DELETED a'])
    expect(exit).not.toHaveBeenCalled()
    exit.mockRestore()
  })

  it('survives a restart of the API server without a word too much', async () => {
    const { told, handle } = log()
    const { room } = await operate('restart', handle)
    await room.create('a')
    await until('it is told', () => told.length === 1)
    await plane.kill('kube-apiserver')
    await plane.start('kube-apiserver')
    await direct.mergePatch(room.path('a'), { spec: { x: 1 } }, call())
    await direct.remove(room.path('a'), call())
    await until('the end is told', () => told.includes('DELETED a'))
    expect(told.filter((t) => t === 'ADDED a')).toHaveLength(1)
  })

  it('whose handler throws is handled again', async () => {
    let calls = 0
    await (
      await operate('throws', async () => {
        if (++calls < 4) throw new Error('not yet')
      })
    ).room.create('a')
    await until('it succeeded', () => calls === 4)
  })

  it('is never with two handlers, while others go on', async () => {
    const inside = new Set<string>()
    const most = { same: 0, all: 0 }
    const { room } = await operate('crowd', async ({ meta }) => {
      if (inside.has(meta.name)) most.same++
      inside.add(meta.name)
      most.all = Math.max(most.all, inside.size)
      await new Promise((resolve) => setTimeout(resolve, 50))
      inside.delete(meta.name)
    })
    await Promise.all(['a', 'b', 'c', 'd'].map((name) => room.create(name)))
    for (let i = 0; i < 30; i++) await direct.mergePatch(room.path('a'), { spec: { i } }, call())
    await until('all is quiet', () => inside.size === 0)
    expect(most.same).toBe(0)
    expect(most.all).toBeGreaterThan(1)
  })
})

it('sets a status although the event is stale', async () => {
  let done = false
  const { room } = await operate('status', async (event, operator) => {
    if (event.type !== dotI.ResourceEventType.Added) return
    await direct.mergePatch(`${room.path('a')}`, { spec: { x: 1 } }, call())
    done = (await operator.status(event, { phase: 'Done' })) !== null
  })
  await room.create('a')
  await until('it is set', () => done)
  expect(await direct.get(room.path('a'), call())).toMatchObject({ status: { phase: 'Done' } })
})

it('cleans up behind its finalizer, and leaves those of others alone', async () => {
  const cleaned: string[] = []
  const mine = 'test.chaosplane.io/mine'
  const theirs = 'test.chaosplane.io/theirs'
  const { room } = await operate('finalizers', async (event, operator) => {
    await operator.finalizer(event, mine, async () => {
      cleaned.push(event.meta.name)
    })
  })
  await room.create('a', { metadata: { name: 'a', finalizers: [theirs] } })
  const finalizers = async () =>
    (await direct.find<{ metadata: { finalizers?: string[] } }>(room.path('a'), call()))?.metadata
      .finalizers
  await until('it is added', async () => (await finalizers())?.includes(mine))
  await direct.remove(room.path('a'), call())
  await until('it is taken off', async () => !(await finalizers())?.includes(mine))
  expect(cleaned).toEqual(['a'])
  expect(await finalizers()).toEqual([theirs])
})

it('works only while it leads: what was deleted in between is told when it leads again', async () => {
  const told: string[] = []
  const space = 'terms'
  const room: Room = await makeRoom(direct, space)
  const handle: Handler = async ({ type, meta }) => {
    told.push(`${type} ${meta.name}`)
  }
  const operator = new TestOperator(
    { ...settings(), workAtOnce: false },
    { namespace: space, handle },
  )
  await operator.start()
  stops.push(() => operator.stop())
  await room.create('a')
  await until('the cache is whole', () => operator.ready())
  expect(told).toEqual([])
  const first = new AbortController()
  const working = operator.work(first.signal)
  await until('it is told', () => told.length === 1)
  first.abort()
  await working
  await direct.remove(room.path('a'), call())
  await new Promise((resolve) => setTimeout(resolve, 200))
  expect(told).toEqual(['ADDED a'])
  const second = new AbortController()
  const again = operator.work(second.signal)
  await until('the deletion is told', () => told.includes('DELETED a'))
  second.abort()
  await again
})
