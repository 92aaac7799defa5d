import { backoffMs } from '../backoff.ts'
import { type Clock, systemClock, systemMonotonic, systemRandom } from '../clock.ts'

/** Waits of a queue. */
export type QueueTiming = {
  /** first wait of a key after a failure, doubled up to `maxMs` */
  baseMs: number
  maxMs: number
  /** all failing keys together: this many repetitions a second, after a burst */
  perSecond: number
  burst: number
}

const usual: QueueTiming = { baseMs: 5, maxMs: 1_000_000, perSecond: 10, burst: 100 }

/** How a queue is made. */
export type QueueOptions = {
  clock?: Pick<Clock, 'sleep'>
  monotonic?: () => number
  random?: () => number
  timing?: Partial<QueueTiming>
}

/** Figures for metrics. */
export type QueueFigures = {
  /** ready to be taken */
  depth: number
  /** held by workers */
  processing: number
  /** waiting for their time */
  delayed: number
  adds: number
  retries: number
}

/** Higher goes first. */
export const priorities = { normal: 0, urgent: 1 } as const
export type Priority = (typeof priorities)[keyof typeof priorities]

/**
 * Keys to work on. A key is never with two workers; added while it is worked on, it comes once more
 * after that; added twice before, it comes once.
 */
export interface KeyedQueue {
  add(key: string, priority?: Priority): void
  /** adds the key when `ms` have passed; an earlier time that is already set stays */
  addAfter(key: string, ms: number): void
  /** adds the key after its own growing wait; returns that wait */
  addWithBackoff(key: string): number
  /** the key succeeded: its waits start small again */
  forget(key: string): void
  failures(key: string): number
  /** the next key; undefined once the queue is shut and empty. Rejects with the signal's reason */
  take(signal: AbortSignal): Promise<string | undefined>
  /** the worker is through with a key that it took */
  done(key: string): void
  /** takes nothing new in, forgets what waits for its time; workers get what is left */
  shut(): void
  /** resolves when nothing is left or in work; rejects with the signal's reason */
  idle(signal: AbortSignal): Promise<void>
  figures(): QueueFigures
}

type Waiter = (key: string | undefined) => void

/** A KeyedQueue. */
export function createQueue(options: QueueOptions = {}): KeyedQueue {
  return new Queue(options)
}

class Queue implements KeyedQueue {
  readonly #clock: Pick<Clock, 'sleep'>
  readonly #now: () => number
  readonly #random: () => number
  readonly #timing: QueueTiming
  /** to be worked on, with the priority that was asked for */
  readonly #dirty = new Map<string, Priority>()
  readonly #processing = new Set<string>()
  /** dirty and not processing, by priority, in order of arrival */
  readonly #ready = new Map<Priority, Set<string>>([
    [priorities.urgent, new Set()],
    [priorities.normal, new Set()],
  ])
  readonly #failures = new Map<string, number>()
  readonly #delayed = new Map<string, number>()
  readonly #takers = new Set<Waiter>()
  readonly #idlers = new Set<() => void>()
  #alarm: { at: number; cancel: AbortController } | undefined
  #tokensAt: number
  #shut = false
  #adds = 0
  #retries = 0

  constructor(options: QueueOptions) {
    const { clock = systemClock, monotonic = systemMonotonic, random = systemRandom } = options
    this.#clock = clock
    this.#now = monotonic
    this.#random = random
    this.#timing = { ...usual, ...options.timing }
    this.#tokensAt = monotonic() - (this.#timing.burst * 1000) / this.#timing.perSecond
  }

  add(key: string, priority: Priority = priorities.normal): void {
    if (this.#shut) return
    this.#adds++
    const before = this.#dirty.get(key)
    if (before !== undefined && before >= priority) return
    this.#dirty.set(key, priority)
    if (this.#processing.has(key)) return
    if (before !== undefined) this.#ready.get(before)?.delete(key)
    this.#makeReady(key, priority)
  }

  addAfter(key: string, ms: number): void {
    if (this.#shut) return
    if (ms <= 0) {
      this.add(key)
      return
    }
    const at = this.#now() + ms
    const before = this.#delayed.get(key)
    if (before !== undefined && before <= at) return
    this.#delayed.set(key, at)
    this.#setAlarm()
  }

  addWithBackoff(key: string): number {
    const failures = this.failures(key)
    this.#failures.set(key, failures + 1)
    this.#retries++
    const { baseMs, maxMs } = this.#timing
    const own = backoffMs({ baseMs, maxMs, jitter: 0.1 }, failures, this.#random)
    const waitMs = Math.max(own, this.#bucketWait())
    this.addAfter(key, waitMs)
    return waitMs
  }

  forget(key: string): void {
    this.#failures.delete(key)
  }

  failures(key: string): number {
    return this.#failures.get(key) ?? 0
  }

  take(signal: AbortSignal): Promise<string | undefined> {
    if (signal.aborted) return Promise.reject(signal.reason)
    const key = this.#next()
    if (key !== undefined) return Promise.resolve(key)
    if (this.#isOver()) return Promise.resolve(undefined)
    return new Promise((resolve, reject) => {
      const taker: Waiter = (found) => {
        signal.removeEventListener('abort', onAbort)
        this.#takers.delete(taker)
        resolve(found)
      }
      const onAbort = () => {
        this.#takers.delete(taker)
        reject(signal.reason)
      }
      signal.addEventListener('abort', onAbort, { once: true })
      this.#takers.add(taker)
    })
  }

  done(key: string): void {
    this.#processing.delete(key)
    const priority = this.#dirty.get(key)
    if (priority !== undefined) this.#makeReady(key, priority)
    this.#settle()
  }

  shut(): void {
    this.#shut = true
    this.#delayed.clear()
    this.#alarm?.cancel.abort()
    this.#settle()
  }

  idle(signal: AbortSignal): Promise<void> {
    if (signal.aborted) return Promise.reject(signal.reason)
    if (this.#isEmpty()) return Promise.resolve()
    return new Promise((resolve, reject) => {
      const idler = () => {
        signal.removeEventListener('abort', onAbort)
        this.#idlers.delete(idler)
        resolve()
      }
      const onAbort = () => {
        this.#idlers.delete(idler)
        reject(signal.reason)
      }
      signal.addEventListener('abort', onAbort, { once: true })
      this.#idlers.add(idler)
    })
  }

  figures(): QueueFigures {
    let depth = 0
    for (const keys of this.#ready.values()) depth += keys.size
    return {
      depth,
      processing: this.#processing.size,
      delayed: this.#delayed.size,
      adds: this.#adds,
      retries: this.#retries,
    }
  }

  #makeReady(key: string, priority: Priority): void {
    this.#ready.get(priority)?.add(key)
    const [taker] = this.#takers
    if (taker) taker(this.#next())
  }

  #next(): string | undefined {
    for (const keys of this.#ready.values()) {
      const [key] = keys
      if (key === undefined) continue
      keys.delete(key)
      this.#dirty.delete(key)
      this.#processing.add(key)
      return key
    }
    return undefined
  }

  #isEmpty(): boolean {
    return this.#dirty.size === 0 && this.#processing.size === 0
  }

  #isOver(): boolean {
    return this.#shut && this.#isEmpty()
  }

  #settle(): void {
    if (this.#isOver()) for (const taker of [...this.#takers]) taker(undefined)
    if (this.#isEmpty()) for (const idler of [...this.#idlers]) idler()
  }

  /** Takes one token of the bucket that all failing keys share; says how long until it is there. */
  #bucketWait(): number {
    const { perSecond, burst } = this.#timing
    const now = this.#now()
    // the time at which the bucket was empty, moved on by one token for each one taken
    this.#tokensAt = Math.max(this.#tokensAt, now - (burst * 1000) / perSecond) + 1000 / perSecond
    return Math.max(0, this.#tokensAt - now)
  }

  /** One sleeper for all delayed keys, until the earliest is due. */
  #setAlarm(): void {
    if (this.#delayed.size === 0) return
    const at = Math.min(...this.#delayed.values())
    if (this.#alarm && this.#alarm.at <= at) return
    this.#alarm?.cancel.abort()
    const cancel = new AbortController()
    this.#alarm = { at, cancel }
    // timers of more than 24 days fire at once
    const ms = Math.min(Math.max(0, at - this.#now()), 2 ** 31 - 1)
    this.#clock.sleep(ms, cancel.signal).then(
      () => this.#ring(),
      () => {},
    )
  }

  #ring(): void {
    this.#alarm = undefined
    const now = this.#now()
    for (const [key, at] of this.#delayed) {
      if (at > now) continue
      this.#delayed.delete(key)
      this.add(key)
    }
    this.#setAlarm()
  }
}
