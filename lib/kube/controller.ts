import type { Log } from '../log.ts'
import { LeaseLost } from './lease.ts'
import {
  createQueue,
  type KeyedQueue,
  type Priority,
  type QueueFigures,
  type QueueOptions,
} from './queue.ts'
import type { Cache, Change } from './store.ts'
import type { KubeObject } from './types.ts'
import { type Pass, runWorkers } from './workers.ts'

/** A key that a change makes worth a look. */
export type Wanted = { key: string; priority?: Priority }

/** A source of keys: hears a cache for as long as the controller runs, and begins with all that is in it. */
export type Trigger = {
  synced(signal: AbortSignal): Promise<void>
  /** returns the way out */
  listen(add: (wanted: Wanted) => void): () => void
}

/** Turns changes of a cache into keys; an owner's key where a dependent changed. */
export function trigger<T extends KubeObject>(
  cache: Cache<T>,
  keys: (change: Change<T>) => Wanted[],
): Trigger {
  return {
    synced: (signal) => cache.synced(signal),
    listen(add) {
      const off = cache.onChange((change) => keys(change).forEach(add))
      for (const object of cache.list()) keys({ type: 'added', object }).forEach(add)
      return off
    },
  }
}

/** A controller: what wakes it and what it does with one key. */
export type ControllerOptions = {
  name: string
  triggers: Trigger[]
  /** reads from the caches; `signal` fires when the pass must end at once */
  reconcile: (key: string, signal: AbortSignal) => Promise<Pass>
  log: Log
  /** keys at the same time, default 4 */
  workers?: number
  /** how long passes under way may take to end after the run was told to stop, default 5 s */
  drainMs?: number
  queue?: QueueOptions
}

/** A reconcile loop that can run, stop and run again (a leader that lost and won). */
export interface Controller {
  readonly name: string
  /** until the signal: then what is under way gets `drainMs`, after a lost lease nothing */
  run(signal: AbortSignal): Promise<void>
  /** wakes a key by hand; without effect while it does not run, for a run begins with every key */
  add(key: string, priority?: Priority): void
  addAfter(key: string, ms: number): void
  figures(): QueueFigures | undefined
}

/** A Controller over a queue of keys. */
export function createController(options: ControllerOptions): Controller {
  let queue: KeyedQueue | undefined
  return {
    name: options.name,
    add: (key, priority) => queue?.add(key, priority),
    addAfter: (key, ms) => queue?.addAfter(key, ms),
    figures: () => queue?.figures(),
    async run(signal) {
      if (queue) throw new Error(`the controller ${options.name} runs already`)
      queue = createQueue(options.queue)
      try {
        await runOnce(options, queue, signal)
      } finally {
        queue = undefined
      }
    },
  }
}

async function runOnce(
  options: ControllerOptions,
  queue: KeyedQueue,
  signal: AbortSignal,
): Promise<void> {
  const { name, triggers, reconcile, log, workers = 4 } = options
  try {
    await Promise.all(triggers.map((t) => t.synced(signal)))
  } catch {
    return
  }
  const offs = triggers.map((t) => t.listen(({ key, priority }) => queue.add(key, priority)))
  const now = new AbortController()
  const onError = ({ key, error, waitMs }: { key: string; error: unknown; waitMs: number }) =>
    log.warn({ controller: name, key, waitMs, err: error }, 'a pass failed and will be repeated')
  const working = runWorkers({ queue, workers, reconcile, onError }, now.signal)
  await aborted(signal)
  for (const off of offs) off()
  queue.shut()
  const drainMs = signal.reason instanceof LeaseLost ? 0 : (options.drainMs ?? 5_000)
  const timer = setTimeout(() => now.abort(signal.reason), drainMs)
  await working
  clearTimeout(timer)
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    signal.addEventListener('abort', () => resolve(), { once: true })
  })
}
