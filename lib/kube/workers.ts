import type { KeyedQueue } from './queue.ts'

/** What a pass over one key wants next. Throwing means «did not expect that» and repeats with growing waits. */
export type Pass =
  | { next: 'idle' }
  | { next: 'again'; inMs: number; reason: string }
  /** nothing more to do until a human (or another change) acts */
  | { next: 'blocked'; reason: string }

/** How the keys of a queue are worked on. */
export type WorkersOptions = {
  queue: KeyedQueue
  /** keys at the same time */
  workers: number
  /** reads from the cache, never from an event */
  reconcile: (key: string, signal: AbortSignal) => Promise<Pass>
  onError?: (failed: { key: string; error: unknown; waitMs: number }) => void
}

/**
 * Works until the queue is shut and empty. Aborting `signal` ends it at once: passes under way hear it,
 * and the promise resolves when they have returned.
 */
export async function runWorkers(options: WorkersOptions, signal: AbortSignal): Promise<void> {
  await Promise.all(Array.from({ length: options.workers }, () => work(options, signal)))
}

async function work(options: WorkersOptions, signal: AbortSignal): Promise<void> {
  for (;;) {
    const key = await options.queue.take(signal).catch(() => undefined)
    if (key === undefined) return
    await turn(options, key, signal)
  }
}

async function turn(options: WorkersOptions, key: string, signal: AbortSignal): Promise<void> {
  const { queue, reconcile, onError } = options
  try {
    const pass = await reconcile(key, signal)
    queue.forget(key)
    if (pass.next === 'again') queue.addAfter(key, pass.inMs)
  } catch (error) {
    if (signal.aborted) return
    const waitMs = queue.addWithBackoff(key)
    onError?.({ key, error, waitMs })
  } finally {
    queue.done(key)
  }
}
