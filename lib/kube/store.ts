import { type KubeObject, keyOf, type WatchEvent } from './types.ts'

/** What happened to an object, as far as the store saw. `deleted` carries the last known object. */
export type Change<T> =
  | { type: 'added'; object: T }
  | { type: 'updated'; object: T; old: T }
  | { type: 'deleted'; object: T }

/** Index name → the values under which an object is found. */
export type Indexers<T> = Record<string, (object: T) => string[]>

/** How a store is made. */
export type StoreOptions<T> = {
  indexers?: Indexers<T>
  /** runs before anything is kept; drop what nobody reads */
  transform?: (object: T) => T
  /** deep-freezes what is kept, so that a test finds a reconciler that writes into the cache */
  frozen?: boolean
  /** a listener threw */
  onListenerError?: (error: unknown) => void
}

/** The reading half of a store. Objects are shared: never write into them. */
export interface Cache<T extends KubeObject> {
  get(key: string): T | undefined
  list(): T[]
  keys(): string[]
  byIndex(index: string, value: string): T[]
  readonly size: number
  /** true once a whole list was taken in */
  hasSynced(): boolean
  /** resolves with the first whole list; rejects with the signal's reason */
  synced(signal: AbortSignal): Promise<void>
  /** hears every change from now on; returns the way out */
  onChange(listener: (change: Change<T>) => void): () => void
}

/** A local copy of what one list and watch gives. */
export interface Store<T extends KubeObject> extends Cache<T> {
  /** what is kept of an object */
  trim(raw: T): T
  /** takes in a whole list of trimmed objects; what is missing in it was deleted */
  replace(items: T[]): void
  /** takes in one line of a watch */
  apply(event: WatchEvent<T>): void
}

/** A Store. Without a transform it drops `managedFields`, a third of a usual object. */
export function createStore<T extends KubeObject>(options: StoreOptions<T> = {}): Store<T> {
  const { transform = withoutManagedFields, onListenerError = () => {} } = options
  const objects = new Map<string, T>()
  const index = createIndex<T>(options.indexers ?? {})
  const listeners = new Set<(change: Change<T>) => void>()
  const waiting = Promise.withResolvers<void>()
  let whole = false

  const tell = (change: Change<T>): void => {
    for (const listener of listeners) {
      try {
        listener(change)
      } catch (error) {
        onListenerError(error)
      }
    }
  }
  const drop = (key: string, last: T): void => {
    objects.delete(key)
    index.remove(key)
    tell({ type: 'deleted', object: last })
  }
  const trim = (raw: T): T => (options.frozen ? deepFreeze(transform(raw)) : transform(raw))
  const put = (object: T): void => {
    const key = keyOf(object)
    const old = objects.get(key)
    if (old && old.metadata.resourceVersion === object.metadata.resourceVersion) return
    // same name, another life: the first one's deletion was not seen
    const reborn = old && old.metadata.uid !== object.metadata.uid
    if (reborn) drop(key, old)
    else if (old) index.remove(key)
    objects.set(key, object)
    index.add(key, object)
    tell(old && !reborn ? { type: 'updated', object, old } : { type: 'added', object })
  }

  return {
    get: (key) => objects.get(key),
    list: () => [...objects.values()],
    keys: () => [...objects.keys()],
    byIndex: (name, value) =>
      index.keys(name, value).flatMap((key) => {
        const object = objects.get(key)
        return object ? [object] : []
      }),
    get size() {
      return objects.size
    },
    hasSynced: () => whole,
    synced: (signal) => (whole ? Promise.resolve() : orAborted(waiting.promise, signal)),
    onChange(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    trim,
    replace(items) {
      const listed = new Set(items.map(keyOf))
      for (const [key, last] of objects) if (!listed.has(key)) drop(key, last)
      for (const item of items) put(item)
      whole = true
      waiting.resolve()
    },
    apply({ type, object }) {
      if (type === 'BOOKMARK') return
      if (type !== 'DELETED') return put(trim(object))
      const key = keyOf(object)
      const last = objects.get(key)
      if (last && last.metadata.uid === object.metadata.uid) drop(key, trim(object))
    },
  }
}

/** The transform that nearly every store wants. */
export function withoutManagedFields<T extends KubeObject>(object: T): T {
  delete object.metadata.managedFields
  return object
}

type Index<T> = {
  add(key: string, object: T): void
  remove(key: string): void
  keys(name: string, value: string): string[]
}

function createIndex<T>(indexers: Indexers<T>): Index<T> {
  const tables = new Map(
    Object.entries(indexers).map(([name, valuesOf]) => [
      name,
      { valuesOf, keys: new Map<string, Set<string>>(), filed: new Map<string, string[]>() },
    ]),
  )
  return {
    add(key, object) {
      for (const { valuesOf, keys, filed } of tables.values()) {
        const values = valuesOf(object)
        if (values.length > 0) filed.set(key, values)
        for (const value of values) keys.set(value, (keys.get(value) ?? new Set()).add(key))
      }
    },
    remove(key) {
      for (const { keys, filed } of tables.values()) {
        for (const value of filed.get(key) ?? []) {
          const of = keys.get(value)
          of?.delete(key)
          if (of?.size === 0) keys.delete(value)
        }
        filed.delete(key)
      }
    },
    keys(name, value) {
      const table = tables.get(name)
      if (!table) throw new Error(`no index "${name}"; it has: ${[...tables.keys()].join(', ')}`)
      return [...(table.keys.get(value) ?? [])]
    },
  }
}

function deepFreeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value
  for (const part of Object.values(value)) deepFreeze(part)
  return Object.freeze(value)
}

function orAborted(promise: Promise<void>, signal: AbortSignal): Promise<void> {
  const { promise: either, resolve, reject } = Promise.withResolvers<void>()
  const onAbort = () => reject(signal.reason)
  if (signal.aborted) onAbort()
  signal.addEventListener('abort', onAbort, { once: true })
  promise.then(resolve, reject)
  return either.finally(() => signal.removeEventListener('abort', onAbort))
}
