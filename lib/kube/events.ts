import { createHash } from 'node:crypto'
import { type Clock, systemClock } from '../clock.ts'
import type { KubeClient } from './client.ts'
import { isAlreadyExists, isNotFound } from './errors.ts'
import { apiVersionOf, events, resourcePath } from './paths.ts'
import { type KubeObject, microTime } from './types.ts'

/** What an Event says. */
export type Happening = {
  regarding: KubeObject
  type: 'Normal' | 'Warning'
  /** one word in CamelCase */
  reason: string
  /** what was being done, one word in CamelCase; default: the reason */
  action?: string
  /** a sentence */
  note: string
  /** the same id gives the same Event, whichever process tells it: for what a new leader may tell again */
  id?: string
}

/** How a recorder is made. */
export type EventRecorderOptions = {
  client: KubeClient
  /** the program: `chaos.chaosplane.io/operator` */
  controller: string
  /** this process: pod name */
  instance: string
  clock?: Clock
  /** what could not be written now is written with its next repeat, or by `flush` */
  onError?: (error: unknown, happening: Happening) => void
  timing?: Partial<EventTiming>
}

/** How repeats are gathered, milliseconds. */
export type EventTiming = {
  /** the same happening within this is a repeat, not news */
  sameWithinMs: number
  /** repeats are written this often at most */
  repeatEveryMs: number
  /** different Events about one object: so many at once, then one per `refillMs` */
  burst: number
  refillMs: number
}

const usual: EventTiming = {
  sameWithinMs: 360_000,
  repeatEveryMs: 10_000,
  burst: 25,
  refillMs: 30_000,
}
const maxKnown = 2_000
const maxWaiting = 1_000

/** Writes Events beside the work: nothing that happens to them reaches the caller. */
export interface EventRecorder {
  record(happening: Happening): void
  /** ends when what was recorded about this object is written, or could not be; at the latest with the signal */
  told(regarding: KubeObject, signal: AbortSignal): Promise<void>
  /** writes what is waiting, repeats included; ends at the latest with the signal */
  flush(signal: AbortSignal): Promise<void>
}

type Series = {
  happening: Happening
  path: string
  name: string
  firstAt: number
  lastAt: number
  count: number
  /** count that the API server has */
  written: number
  writtenAt: number
  create: () => Record<string, unknown>
  /** in the queue, or being written: settles when that is over */
  queued: PromiseWithResolvers<void> | undefined
}

/** A recorder of events.k8s.io/v1 Events. */
export function createEventRecorder(options: EventRecorderOptions): EventRecorder {
  const recorder = new Recorder(options)
  return {
    record: (happening) => recorder.record(happening),
    told: (regarding, signal) => recorder.told(regarding, signal),
    flush: (signal) => recorder.flush(signal),
  }
}

class Recorder {
  readonly #o: EventRecorderOptions
  readonly #timing: EventTiming
  readonly #clock: Clock
  readonly #known = new Map<string, Series>()
  readonly #budgets = new Map<string, { tokens: number; at: number }>()
  readonly #waiting: Series[] = []
  #writing: Promise<void> | undefined

  constructor(options: EventRecorderOptions) {
    this.#o = options
    this.#timing = { ...usual, ...options.timing }
    this.#clock = options.clock ?? systemClock
  }

  record(happening: Happening): void {
    try {
      this.#take(happening)
    } catch (error) {
      this.#o.onError?.(error, happening)
    }
  }

  async told({ metadata: { uid } }: KubeObject, signal: AbortSignal): Promise<void> {
    const open = [...this.#known.values()].filter(
      ({ queued, happening }) => queued && happening.regarding.metadata.uid === uid,
    )
    if (open.length === 0) return
    await Promise.race([Promise.all(open.map(({ queued }) => queued?.promise)), abortOf(signal)])
  }

  async flush(signal: AbortSignal): Promise<void> {
    const aborted = abortOf(signal)
    await Promise.race([this.#writing, aborted])
    for (const series of this.#known.values())
      if (series.count > series.written) this.#enqueue(series)
    await Promise.race([this.#writing, aborted])
  }

  #take(happening: Happening): void {
    const now = this.#clock.now()
    const { uid } = happening.regarding.metadata
    const key = [uid, happening.type, happening.reason, happening.note].join('\n')
    const series = this.#known.get(key)
    if (series && now - series.lastAt < this.#timing.sameWithinMs) {
      series.count++
      series.lastAt = now
      if (now - series.writtenAt >= this.#timing.repeatEveryMs) this.#enqueue(series)
      return
    }
    if (!this.#mayTellMore(uid, now)) return
    const fresh = this.#newSeries(happening, key, now)
    remember(this.#known, key, fresh)
    this.#enqueue(fresh)
  }

  /** A bucket per object: a reconciler in a loop must not fill etcd. */
  #mayTellMore(uid: string, now: number): boolean {
    const { burst, refillMs } = this.#timing
    const before = this.#budgets.get(uid) ?? { tokens: burst, at: now }
    const tokens = Math.min(burst, before.tokens + (now - before.at) / refillMs)
    remember(this.#budgets, uid, { tokens: tokens >= 1 ? tokens - 1 : tokens, at: now })
    return tokens >= 1
  }

  #newSeries(happening: Happening, key: string, now: number): Series {
    const { regarding, type, reason, action, note, id } = happening
    const { name, namespace: own, uid, resourceVersion } = regarding.metadata
    // what has no namespace is told about where kubectl looks for it
    const namespace = own ?? 'default'
    const mark = createHash('sha256').update(id ?? `${key}\n${now}\n${this.#o.instance}`)
    const eventName = `${name.slice(0, 200)}.${mark.digest('hex').slice(0, 16)}`
    return {
      happening,
      path: resourcePath({ ...events, namespace }),
      name: eventName,
      firstAt: now,
      lastAt: now,
      count: 1,
      written: 0,
      writtenAt: 0,
      queued: undefined,
      create: () => ({
        apiVersion: apiVersionOf(events),
        kind: 'Event',
        metadata: { name: eventName, namespace },
        eventTime: microTime(now),
        reportingController: this.#o.controller,
        reportingInstance: this.#o.instance.slice(0, 128),
        action: (action ?? reason).slice(0, 128),
        reason: reason.slice(0, 128),
        type,
        note: shortened(note, 1024),
        regarding: {
          apiVersion: regarding.apiVersion,
          kind: regarding.kind,
          name,
          uid,
          resourceVersion,
          ...(own ? { namespace: own } : {}),
        },
      }),
    }
  }

  #enqueue(series: Series): void {
    if (series.queued || this.#waiting.length >= maxWaiting) return
    series.queued = Promise.withResolvers()
    this.#waiting.push(series)
    this.#writing ??= this.#writeAll().finally(() => {
      this.#writing = undefined
    })
  }

  async #writeAll(): Promise<void> {
    for (let series = this.#waiting.shift(); series; series = this.#waiting.shift()) {
      try {
        await this.#write(series)
      } catch (error) {
        this.#o.onError?.(error, series.happening)
      }
      series.queued?.resolve()
      series.queued = undefined
    }
  }

  async #write(series: Series): Promise<void> {
    const { client } = this.#o
    const call = { signal: AbortSignal.timeout(10_000), deadlineMs: 10_000 }
    const { count } = series
    series.writtenAt = this.#clock.now()
    if (series.written === 0) {
      await client.create(series.path, series.create(), call).catch((error: unknown) => {
        if (!isAlreadyExists(error)) throw error
      })
      series.written = 1
    }
    if (count === 1) return
    const lastObservedTime = microTime(series.lastAt)
    const patch = { series: { count, lastObservedTime } }
    await client.mergePatch(`${series.path}/${series.name}`, patch, call).catch((error) => {
      // Events live for an hour: the next repeat begins anew
      if (!isNotFound(error)) throw error
      series.written = 0
    })
    series.written = Math.max(series.written, count)
  }
}

const abortOf = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve()
    signal.addEventListener('abort', () => resolve(), { once: true })
  })

function remember<V>(map: Map<string, V>, key: string, value: V): void {
  map.delete(key)
  map.set(key, value)
  const [oldest] = map.keys()
  if (map.size > maxKnown && oldest !== undefined) map.delete(oldest)
}

const shortened = (text: string, max: number): string =>
  text.length <= max ? text : `${text.slice(0, max - 1)}…`
