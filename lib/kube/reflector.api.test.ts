import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { type ControlPlane, startControlPlane } from '../../test-e2e/cluster/control-plane.ts'
import { createKubeClient, type KubeClient } from './client.ts'
import { loadKubeConfig } from './config.ts'
import { createReflector, type Reflector, type ReflectorTiming } from './reflector.ts'
import { makeRoom, type Room, type Thing } from './testing/things.ts'
import { startUnrulyProxy, type UnrulyProxy } from './testing/unruly-proxy.ts'
import { until } from './testing/until.ts'

const call = () => ({ signal: AbortSignal.timeout(60_000) })
let plane: ControlPlane
let direct: KubeClient
let client: KubeClient
let proxy: UnrulyProxy
let room: Room

beforeAll(async () => {
  plane = await startControlPlane()
  const config = loadKubeConfig({ file: plane.kubeconfig, env: {} })
  direct = createKubeClient({ config, userAgent: 'tests/1' })
  proxy = await startUnrulyProxy(plane.kubeconfig)
  client = createKubeClient({ config: proxy.config, userAgent: 'reflector/1' })
})
afterAll(async () => {
  await Promise.all([direct?.close(), client?.close()])
  await proxy?.close()
  await plane?.down()
})

type Followed = { reflector: Reflector<Thing>; told: string[]; errors: unknown[] }
const stops: (() => Promise<void>)[] = []
afterEach(async () => {
  proxy.obey()
  for (const stop of stops.splice(0)) await stop()
})

/** A reflector on a namespace of its own that holds `names`. */
async function follow(
  space: string,
  names: string[],
  timing: Partial<ReflectorTiming> = {},
): Promise<Followed> {
  room = await makeRoom(direct, space)
  for (const name of names) await room.create(name)
  const errors: unknown[] = []
  const reflector = createReflector<Thing>({
    client,
    path: room.all,
    frozen: true,
    timing,
    onError: (error) => errors.push(error),
  })
  const told: string[] = []
  reflector.store.onChange(({ type, object }) => told.push(`${type} ${object.metadata.name}`))
  const controller = new AbortController()
  const running = reflector.run(controller.signal)
  stops.push(() => {
    controller.abort()
    return running
  })
  await reflector.store.synced(AbortSignal.timeout(20_000))
  await until('a watch is open', () => proxy.seen.at(-1)?.url.includes('watch=true'))
  return { reflector, told, errors }
}

const remove = (name: string) => direct.remove(room.path(name), call())
const isWatch = (_method: string, url: string) => url.includes('watch=true')
const lists = () => proxy.seen.filter((s) => s.url.includes(room.all) && !isWatch('', s.url)).length

describe('no delete is lost', () => {
  it('when the server ends the watch', async () => {
    const { told } = await follow('ends', ['a', 'b'])
    proxy.rule((m, u) => (isWatch(m, u) ? { do: 'answer', status: 503 } : { do: 'pass' }))
    proxy.cutWatches('clean')
    await remove('a')
    proxy.obey()
    await until('the deletion is told', () => told.includes('deleted a'))
    expect(told).toEqual(['added a', 'added b', 'deleted a'])
    expect(lists()).toBe(1)
  })

  it('when the connection is reset', async () => {
    const { told } = await follow('reset', ['a', 'b'])
    proxy.rule((m, u) => (isWatch(m, u) ? { do: 'reset' } : { do: 'pass' }))
    proxy.cutWatches('reset')
    await remove('a')
    proxy.obey()
    await until('the deletion is told', () => told.includes('deleted a'))
    expect(lists()).toBe(1)
  })

  it('when the version is compacted away: the next list shows it, with the last known object', async () => {
    const { told, reflector, errors } = await follow('compacted', ['a', 'b'])
    proxy.rule((m, u) => (isWatch(m, u) ? { do: 'answer', status: 503 } : { do: 'pass' }))
    proxy.cutWatches('reset')
    await remove('a')
    await room.create('c')
    await plane.compact()
    // the API server's own memory of events goes with it
    await plane.restart('kube-apiserver')
    for (let i = 0; i < 5; i++) await room.create(`more-${i}`)
    proxy.obey()
    await until('the deletion is told', () => told.includes('deleted a'))
    await until('the new ones are there', () => reflector.store.size === 7)
    expect(told.filter((t) => t.startsWith('deleted'))).toEqual(['deleted a'])
    expect(lists()).toBe(2)
    expect(errors.at(-1)).toMatchObject({ status: 410 })
  })

  it('when the API server is killed and comes back', async () => {
    const { told, errors } = await follow('killed', ['a', 'b'])
    await plane.kill('kube-apiserver')
    await until('the reflector noticed', () => errors.length > 2)
    await plane.start('kube-apiserver')
    await remove('a')
    const removedAt = performance.now()
    await until('the deletion is told', () => told.includes('deleted a'))
    expect(performance.now() - removedAt).toBeLessThan(5_000)
    expect(told).toEqual(['added a', 'added b', 'deleted a'])
  })
})

it('after a 429 it waits as long as the server says', async () => {
  const { told } = await follow('busy', ['a'])
  proxy.next(1, /watch=true/, { do: 'answer', status: 429, headers: { 'retry-after': '2' } })
  const before = proxy.seen.length
  await until('it was refused', () => {
    // again and again: the first watch may not be open yet
    proxy.cutWatches('reset')
    return proxy.seen.slice(before).some((s) => s.status === 429)
  })
  const refusedAt = performance.now()
  await room.create('b')
  await until('it goes on', () => told.includes('added b'))
  expect(performance.now() - refusedAt).toBeGreaterThan(1_900)
})

it('a server that closes every watch at once is not asked in a tight loop', async () => {
  await follow('closing', ['a'], { baseMs: 500 })
  proxy.rule((m, u) => (isWatch(m, u) ? { do: 'answer', status: 200 } : { do: 'pass' }))
  const before = proxy.seen.length
  proxy.cutWatches('clean')
  await new Promise((resolve) => setTimeout(resolve, 2_000))
  expect(proxy.seen.length - before).toBeLessThan(10)
})

it('a watch that has gone silent is replaced', async () => {
  const { told, errors } = await follow('silent', ['a'], { silenceMs: 500 })
  plane.pause('kube-apiserver')
  await until('the silence is noticed', () => errors.some((e) => String(e).includes('silent')))
  plane.resume('kube-apiserver')
  await room.create('b')
  await until('it goes on', () => told.includes('added b'))
})

it('a kind that does not exist yet is followed once it does', async () => {
  const path = '/apis/test.chaosplane.io/v2/things'
  const errors: unknown[] = []
  const reflector = createReflector({ client, path, onError: (e) => errors.push(e) })
  const controller = new AbortController()
  const running = reflector.run(controller.signal)
  await until('it is missed', () => errors.length > 0)
  expect(reflector.store.hasSynced()).toBe(false)
  expect(reflector.trouble()).toMatchObject({ status: 404 })
  controller.abort()
  await running
})

it('idle, it costs nothing but its watch', async () => {
  await follow('idle', ['a', 'b'])
  const before = proxy.seen.length
  await new Promise((resolve) => setTimeout(resolve, 3_000))
  expect(proxy.seen.length - before).toBe(0)
})
