import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { apiServer } from '../../test-e2e/setup/worker.ts'
import { createKubeClient, type KubeClient } from './client.ts'
import { loadKubeConfig } from './config.ts'
import { createEventRecorder, type EventTiming } from './events.ts'
import { addFinalizer, removeFinalizer } from './finalizer.ts'
import { events, resourcePath } from './paths.ts'
import { createStatusWriter } from './status.ts'
import { makeRoom, type Room, type Thing, thingType } from './testing/things.ts'
import { startUnrulyProxy, type UnrulyProxy } from './testing/unruly-proxy.ts'
import type { KubeObject } from './types.ts'

const call = { signal: AbortSignal.timeout(120_000) }
let direct: KubeClient
let client: KubeClient
let proxy: UnrulyProxy
let room: Room

beforeAll(async () => {
  const file = apiServer().kubeconfig
  direct = createKubeClient({ config: loadKubeConfig({ file, env: {} }), userAgent: 'tests/1' })
  proxy = await startUnrulyProxy(file)
  client = createKubeClient({ config: proxy.config, userAgent: 'writer/1' })
  room = await makeRoom(direct, 'kube-writers')
})
afterAll(async () => {
  await Promise.all([direct?.close(), client?.close()])
  await proxy?.close()
})

const writer = (fieldManager: string) => createStatusWriter({ client, fieldManager, ...thingType })
const read = (name: string) => direct.get<Thing>(room.path(name), call)
const touch = (name: string, spec: object) => direct.mergePatch(room.path(name), { spec }, call)

describe('a status writer', () => {
  it('on a conflict reads again and computes from what stands there now', async () => {
    const object = await room.create('conflict', { spec: { wanted: 1 } })
    await touch('conflict', { wanted: 2 })
    const seen: unknown[] = []
    const compute = (current: Thing) => {
      seen.push(current.spec?.['wanted'])
      return { got: current.spec?.['wanted'] }
    }
    const path = room.path('conflict')
    const written = await writer('one').write({ path, object, compute }, call)
    expect(seen).toEqual([1, 2])
    expect(written?.status).toEqual({ got: 2 })
  })

  it('gives up after five conflicts', async () => {
    const object = await room.create('contested')
    const path = room.path('contested')
    await writer('one').write({ path, object, compute: () => ({ phase: 'Mine' }) }, call)
    let computed = 0
    const compute = () => ({ phase: `Other ${computed++}` })
    const writing = writer('two').write({ path, object, compute }, call)
    await expect(writing).rejects.toMatchObject({ status: 409 })
    expect(computed).toBe(5)
  })

  it('sends nothing when nothing changed, and deletes the field that it leaves out', async () => {
    const path = room.path('quiet')
    let object = await room.create('quiet')
    const one = writer('one')
    const write = async (status: Record<string, unknown>) => {
      object = (await one.write({ path, object, compute: () => status }, call)) ?? object
    }
    await write({ phase: 'Running', note: 'x' })
    const before = proxy.seen.length
    await write({ phase: 'Running', note: 'x' })
    expect(proxy.seen.length).toBe(before)
    await write({ phase: 'Running' })
    expect((await read('quiet')).status).toEqual({ phase: 'Running' })
  })

  it('goes on from its own last write while the cache is still behind', async () => {
    const path = room.path('behind')
    const stale = await room.create('behind')
    const one = writer('one')
    const before = proxy.seen.length
    for (const step of [1, 2, 3])
      await one.write({ path, object: stale, compute: () => ({ step }) }, call)
    expect(proxy.seen.length - before).toBe(3)
    expect((await read('behind')).status).toEqual({ step: 3 })
  })

  it('writes again when somebody else took its field away', async () => {
    const path = room.path('robbed')
    const one = writer('one')
    const object = await room.create('robbed')
    const compute = () => ({ phase: 'Running' })
    await one.write({ path, object, compute }, call)
    await direct.mergePatch(`${path}/status`, { status: { phase: null } }, call)
    await one.write({ path, object: await read('robbed'), compute }, call)
    expect((await read('robbed')).status).toEqual({ phase: 'Running' })
  })

  it('does not touch a namesake, nor make a new object', async () => {
    const object = await room.create('gone')
    const path = room.path('gone')
    await direct.remove(path, call)
    const write = { path, object, compute: () => ({ phase: 'Running' }) }
    expect(await writer('one').write(write, call)).toBeUndefined()
    expect(await direct.find(path, call)).toBeUndefined()
    await room.create('gone')
    expect(await writer('one').write(write, call)).toBeUndefined()
    expect((await read('gone')).status).toBeUndefined()
  })
})

describe('a finalizer', () => {
  const finalizer = 'test.chaosplane.io/ours'
  const theirs = 'test.chaosplane.io/theirs'
  const of = (name: string, object: Thing) => ({
    client,
    path: room.path(name),
    object,
    finalizer,
  })

  it('is added beside one that came in between', async () => {
    const stale = await room.create('both')
    await direct.mergePatch(room.path('both'), { metadata: { finalizers: [theirs] } }, call)
    expect(await addFinalizer(of('both', stale), call)).toMatchObject({ is: 'done' })
    expect((await read('both')).metadata.finalizers).toEqual([theirs, finalizer])
  })

  it('is taken off although its place in the list has changed', async () => {
    const metadata = { name: 'moved', finalizers: [theirs, finalizer] }
    const stale = await room.create('moved', { metadata })
    await direct.mergePatch(
      room.path('moved'),
      { metadata: { finalizers: [finalizer, theirs] } },
      call,
    )
    expect(await removeFinalizer(of('moved', stale), call)).toMatchObject({ is: 'done' })
    expect((await read('moved')).metadata.finalizers).toEqual([theirs])
  })

  it('is added and taken off by many at once, each its own', async () => {
    const object = await room.create('crowd')
    const all = Array.from({ length: 4 }, (_, i) => `test.chaosplane.io/n${i}`)
    const path = room.path('crowd')
    await Promise.all(all.map((f) => addFinalizer({ client, path, object, finalizer: f }, call)))
    expect((await read('crowd')).metadata.finalizers?.toSorted()).toEqual(all)
    const full = await read('crowd')
    await Promise.all(
      all.map((f) => removeFinalizer({ client, path, object: full, finalizer: f }, call)),
    )
    expect((await read('crowd')).metadata.finalizers).toBeUndefined()
  })

  it('is not added to what is being deleted, and the last one off ends it', async () => {
    const object = await room.create('ending', {
      metadata: { name: 'ending', finalizers: [theirs] },
    })
    await direct.remove(room.path('ending'), call)
    expect(await addFinalizer(of('ending', object), call)).toMatchObject({ is: 'deleting' })
    const mine = { ...of('ending', await read('ending')), finalizer: theirs }
    expect(await removeFinalizer(mine, call)).toMatchObject({ is: 'done' })
    expect(await direct.find(room.path('ending'), call)).toBeUndefined()
    expect(await removeFinalizer(mine, call)).toEqual({ is: 'gone' })
  })
})

describe('events', () => {
  type Event = KubeObject & {
    note: string
    series?: { count: number }
    regarding: { name: string }
  }
  const about = async (name: string) =>
    (
      await direct.list<Event>(resourcePath({ ...events, namespace: room.name }), call)
    ).items.filter((e) => e.regarding.name === name)
  const recorder = (timing: Partial<EventTiming> = {}, onError?: (e: unknown) => void) =>
    createEventRecorder({
      client,
      controller: 'test.chaosplane.io/tests',
      instance: 'one',
      timing,
      ...(onError ? { onError } : {}),
    })
  const normal = { type: 'Normal', reason: 'Tested', note: 'It was tested.' } as const

  it('that repeat become one Event with a count', async () => {
    const regarding = await room.create('repeated')
    const recording = recorder()
    for (let i = 0; i < 50; i++) recording.record({ ...normal, regarding })
    await recording.flush(call.signal)
    const found = await about('repeated')
    expect(found).toHaveLength(1)
    expect(found[0]).toMatchObject({ note: 'It was tested.', series: { count: 50 } })
  })

  it('about one object are bounded, and others are not held up by that', async () => {
    const [loud, calm] = await Promise.all([room.create('loud'), room.create('calm')])
    const recording = recorder({ burst: 5 })
    for (let i = 0; i < 50; i++) recording.record({ ...normal, regarding: loud, note: `No. ${i}` })
    recording.record({ ...normal, regarding: calm })
    await recording.flush(call.signal)
    expect(await about('loud')).toHaveLength(5)
    expect(await about('calm')).toHaveLength(1)
  })

  it('that cannot be written trouble nobody', async () => {
    const regarding = await room.create('unheard')
    const errors: unknown[] = []
    const recording = recorder({}, (e) => errors.push(e))
    proxy.rule(() => ({ do: 'answer', status: 403 }))
    recording.record({ ...normal, regarding })
    await recording.flush(call.signal)
    proxy.obey()
    expect(errors.length).toBeGreaterThan(0)
    for (const error of errors) expect(error).toMatchObject({ status: 403 })
  })
})
