import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Change, createStore } from './store.ts'
import type { KubeObject } from './types.ts'

type Thing = KubeObject & { spec?: { node?: string } }
const thing = (
  name: string,
  version: number,
  more: { uid?: string; node?: string } = {},
): Thing => ({
  metadata: {
    name,
    namespace: 'ns',
    uid: more.uid ?? `uid-${name}`,
    resourceVersion: String(version),
    managedFields: [{ manager: 'someone' }],
  },
  spec: more.node ? { node: more.node } : {},
})
const told = (change: Change<Thing>): string =>
  `${change.type} ${change.object.metadata.name}@${change.object.metadata.resourceVersion}`

const filled = (...items: Thing[]) => {
  const store = createStore<Thing>({
    indexers: { node: (t) => (t.spec?.node ? [t.spec.node] : []) },
  })
  store.replace(items)
  const seen: string[] = []
  store.onChange((change) => seen.push(told(change)))
  return { store, seen }
}

describe('a new list', () => {
  it('tells the deletion of what is missing, with the last known object', () => {
    const { store, seen } = filled(thing('a', 1), thing('b', 2))
    store.replace([thing('b', 2)])
    expect(seen).toEqual(['deleted a@1'])
    expect(store.keys()).toEqual(['ns/b'])
  })

  it('tells only what changed', () => {
    const { store, seen } = filled(thing('a', 1), thing('b', 2))
    store.replace([thing('a', 1), thing('b', 3), thing('c', 4)])
    expect(seen).toEqual(['updated b@3', 'added c@4'])
  })

  it('tells the end of a namesake before the beginning of the next', () => {
    const { store, seen } = filled(thing('a', 1))
    store.replace([thing('a', 5, { uid: 'another' })])
    expect(seen).toEqual(['deleted a@1', 'added a@5'])
  })
})

describe('a watch', () => {
  it('gives the old object with an update', () => {
    const { store } = filled(thing('a', 1))
    const changes: Change<Thing>[] = []
    store.onChange((change) => changes.push(change))
    store.apply({ type: 'MODIFIED', object: thing('a', 2) })
    expect(changes[0]).toMatchObject({
      type: 'updated',
      old: { metadata: { resourceVersion: '1' } },
      object: { metadata: { resourceVersion: '2' } },
    })
  })

  it('may say the deletion of an earlier life: the present one stays', () => {
    const { store, seen } = filled(thing('a', 5, { uid: 'second' }))
    store.apply({ type: 'DELETED', object: thing('a', 4, { uid: 'first' }) })
    expect(seen).toEqual([])
    expect(store.size).toBe(1)
  })

  it('may repeat itself without anything being told twice', () => {
    const { store, seen } = filled()
    store.apply({ type: 'ADDED', object: thing('a', 1) })
    store.apply({ type: 'ADDED', object: thing('a', 1) })
    expect(seen).toEqual(['added a@1'])
  })
})

it('an index follows objects that move', () => {
  const { store } = filled(thing('a', 1, { node: 'n1' }), thing('b', 1, { node: 'n1' }))
  store.apply({ type: 'MODIFIED', object: thing('a', 2, { node: 'n2' }) })
  expect(store.byIndex('node', 'n1').map((t) => t.metadata.name)).toEqual(['b'])
  expect(store.byIndex('node', 'n2').map((t) => t.metadata.name)).toEqual(['a'])
  store.apply({ type: 'DELETED', object: thing('b', 3) })
  expect(store.byIndex('node', 'n1')).toEqual([])
})

it('drops managedFields, and freezes when asked', () => {
  const store = createStore<Thing>({ frozen: true })
  store.replace([store.trim(thing('a', 1))])
  const kept = store.get('ns/a')
  expect(kept?.metadata.managedFields).toBeUndefined()
  expect(() => Object.assign(kept?.metadata ?? {}, { name: 'x' })).toThrow()
})

it('a listener that throws harms nobody else', () => {
  const errors: unknown[] = []
  const store = createStore<Thing>({ onListenerError: (error) => errors.push(error) })
  const seen: string[] = []
  store.onChange(() => {
    throw new Error('mine')
  })
  store.onChange((change) => seen.push(told(change)))
  store.replace([thing('a', 1)])
  expect(seen).toEqual(['added a@1'])
  expect(errors).toHaveLength(1)
})

it('synced comes with the first list, and hears its signal', async () => {
  const store = createStore<Thing>()
  const controller = new AbortController()
  const waiting = store.synced(controller.signal)
  controller.abort(new Error('enough'))
  await expect(waiting).rejects.toThrow('enough')
  const again = store.synced(new AbortController().signal)
  store.replace([])
  await again
  expect(store.hasSynced()).toBe(true)
})

it('whatever lists and events come: the changes told rebuild exactly what the store holds', () => {
  const object = fc
    .tuple(
      fc.constantFrom('a', 'b', 'c'),
      fc.integer({ min: 1, max: 9 }),
      fc.constantFrom('u', 'v'),
    )
    .map(([name, version, uid]) => thing(name, version, { uid: `${uid}-${name}` }))
  const step = fc.oneof(
    fc.uniqueArray(object, { selector: (t) => t.metadata.name }).map((list) => ({ list })),
    fc.record({ type: fc.constantFrom('ADDED', 'MODIFIED', 'DELETED'), object }),
  )
  fc.assert(
    fc.property(fc.array(step), (all) => {
      const store = createStore<Thing>()
      const mirror = new Map<string, Thing>()
      store.onChange((change) => {
        const { name } = change.object.metadata
        expect(mirror.has(name)).toBe(change.type !== 'added')
        if (change.type === 'updated') expect(mirror.get(name)).toBe(change.old)
        if (change.type === 'deleted') mirror.delete(name)
        else mirror.set(name, change.object)
      })
      for (const one of structuredClone(all))
        if ('list' in one) store.replace(one.list)
        else store.apply(one as { type: 'ADDED'; object: Thing })
      expect([...mirror.values()].map((t) => t.metadata.name).sort()).toEqual(
        store
          .list()
          .map((t) => t.metadata.name)
          .sort(),
      )
    }),
  )
})
