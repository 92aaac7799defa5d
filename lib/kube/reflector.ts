import { createBackoff } from '../backoff.ts'
import { type Clock, systemClock, systemMonotonic, systemRandom } from '../clock.ts'
import type { KubeClient } from './client.ts'
import { isExpired, KubeError } from './errors.ts'
import { type Cache, createStore, type Store, type StoreOptions } from './store.ts'
import type { KubeObject } from './types.ts'

/** Waits of a reflector, milliseconds. */
export type ReflectorTiming = {
  /** first wait after a failure, doubled up to `maxMs` */
  baseMs: number
  maxMs: number
  /** the limit while the API server does not answer at all: it comes back, and then minutes count */
  unreachableMaxMs: number
  /** the limit while the kind is unknown or forbidden */
  refusedMaxMs: number
  /** a watch that lasted this long was good: waits start small again */
  goodMs: number
  /** nothing came for so long, not even a bookmark (one a minute): the connection is dead */
  silenceMs: number
}

const usual: ReflectorTiming = {
  baseMs: 200,
  maxMs: 30_000,
  unreachableMaxMs: 1_000,
  refusedMaxMs: 10_000,
  goodMs: 120_000,
  silenceMs: 90_000,
}

/** What a reflector follows and where it says how it fares. */
export type ReflectorOptions<T extends KubeObject> = StoreOptions<T> & {
  client: KubeClient
  path: string
  /** labelSelector, fieldSelector */
  query?: Record<string, string>
  clock?: Clock
  random?: () => number
  monotonic?: () => number
  timing?: Partial<ReflectorTiming>
  /** every failure, with the wait that follows */
  onError?: (error: unknown, waitMs: number) => void
}

/** A store that follows the API server for as long as `run` runs. */
export type Reflector<T extends KubeObject> = {
  readonly store: Cache<T>
  /** ends, without throwing, when the signal is aborted */
  run(signal: AbortSignal): Promise<void>
  /** the failure that it is recovering from */
  trouble(): unknown
}

type Following<T extends KubeObject> = {
  options: ReflectorOptions<T>
  store: Store<T>
  clock: Clock
  random: () => number
  monotonic: () => number
  timing: ReflectorTiming
  /** where the next watch starts; undefined: list first */
  version: string | undefined
}

/** A Reflector: list once, then watch for ever; whatever fails is tried again, and no delete is lost. */
export function createReflector<T extends KubeObject>(options: ReflectorOptions<T>): Reflector<T> {
  const following: Following<T> = {
    options,
    store: createStore(options),
    clock: options.clock ?? systemClock,
    random: options.random ?? systemRandom,
    monotonic: options.monotonic ?? systemMonotonic,
    timing: { ...usual, ...options.timing },
    version: undefined,
  }
  let trouble: unknown
  return {
    store: following.store,
    trouble: () => trouble,
    run: (signal) =>
      follow(following, signal, (error) => {
        trouble = error
      }),
  }
}

async function follow<T extends KubeObject>(
  f: Following<T>,
  signal: AbortSignal,
  tell: (trouble: unknown) => void,
): Promise<void> {
  const waits = createWaits(f.timing, f.random)
  while (!signal.aborted) {
    const startedAt = f.monotonic()
    try {
      f.version ??= await list(f, signal)
      tell(undefined)
      await watchOnce(f, signal)
      // a server (or a proxy) that closes at once must not be asked in a tight loop
      if (f.monotonic() - startedAt < shortWatchMs) throw new Error('the watch closed at once')
      waits.reset()
    } catch (error) {
      if (signal.aborted) return
      if (f.monotonic() - startedAt > f.timing.goodMs) waits.reset()
      const waitMs = waits.after(error)
      if (mustList(error)) f.version = undefined
      tell(error)
      f.options.onError?.(error, waitMs)
      await f.clock.sleep(waitMs, signal).catch(() => {})
    }
  }
}

const shortWatchMs = 1_000

/** True when the version from which the watch would go on is of no use any more. */
function mustList(error: unknown): boolean {
  if (!(error instanceof KubeError)) return false
  // etcd was restored from a backup: our version lies in the future
  const ahead = error.details?.causes?.some((c) => c.reason === 'ResourceVersionTooLarge')
  return error.status === 410 || error.status === 404 || ahead === true
}

type Waits = { after(error: unknown): number; reset(): void }

/** Each class of failures grows by itself: a long outage must not lengthen the waits after it. */
function createWaits(timing: ReflectorTiming, random: () => number): Waits {
  const { baseMs } = timing
  const unreachable = createBackoff({ baseMs, maxMs: timing.unreachableMaxMs }, random)
  const refused = createBackoff({ baseMs, maxMs: timing.refusedMaxMs }, random)
  const answered = createBackoff({ baseMs, maxMs: timing.maxMs }, random)
  const expired = createBackoff({ baseMs, maxMs: timing.maxMs }, random)
  const firstExpiry = (): number => {
    expired.next()
    return 0
  }
  return {
    after(error) {
      const { status, retryAfterMs = 0 } = error instanceof KubeError ? error : { status: 0 }
      // the first 410 costs nothing but the list
      if (isExpired(error)) return expired.attempts > 0 ? expired.next() : firstExpiry()
      if (status === 0) return unreachable.next()
      const growing = status === 403 || status === 404 ? refused.next() : answered.next()
      return Math.max(retryAfterMs, growing)
    },
    reset() {
      for (const backoff of [unreachable, refused, answered, expired]) backoff.reset()
    },
  }
}

async function list<T extends KubeObject>(f: Following<T>, signal: AbortSignal): Promise<string> {
  const { client, path, query = {} } = f.options
  const { items, resourceVersion } = await client.list<T>(path, { signal, query }, f.store.trim)
  f.store.replace(items)
  return resourceVersion
}

/** Follows one watch to its end, and ends it itself when it has been silent for too long. */
async function watchOnce<T extends KubeObject>(
  f: Following<T>,
  signal: AbortSignal,
): Promise<void> {
  const { client, path, query } = f.options
  const ended = new AbortController()
  const end = () => ended.abort(signal.reason)
  signal.addEventListener('abort', end, { once: true })
  if (signal.aborted) end()
  const dead = new Error(`watch ${path}: silent for ${f.timing.silenceMs} ms`)
  const silence = setTimeout(() => ended.abort(dead), f.timing.silenceMs)
  try {
    const timeoutSeconds = String(300 + Math.floor(300 * f.random()))
    const events = client.watch<T>(path, {
      signal: ended.signal,
      query: { ...query, timeoutSeconds },
      ...(f.version === undefined ? {} : { resourceVersion: f.version }),
    })
    for await (const event of events) {
      silence.refresh()
      f.store.apply(event)
      f.version = event.object.metadata.resourceVersion
    }
  } finally {
    clearTimeout(silence)
    signal.removeEventListener('abort', end)
  }
}
