import type { Clock } from '../../lib/clock.ts'
import { reach } from '../../lib/crash.ts'
import type { KubeClient } from '../../lib/kube/client.ts'
import { isConflict, isNotFound, KubeError } from '../../lib/kube/errors.ts'
import type { Happening } from '../../lib/kube/events.ts'
import type { KubeObject } from '../../lib/kube/types.ts'
import type { Log } from '../../lib/log.ts'
import { bytesOf, fitted } from '../../model/snapshot.ts'
import type { RunState } from '../../model/state.ts'
import { claimOf, type Identity, sameIdentity } from './claim.ts'
import type { Resource } from './resource.ts'

export type KeeperSettings = {
  kube: KubeClient
  resource: Resource
  me: Identity
  clock: Clock
  log: Log
  /** resolves when the run is ours: nothing is written before */
  claimed: Promise<void>
  /** somebody else holds the run now */
  onLoss(why: string): void
  /**
   * The resource is gone while the run was ours: nothing can be recorded any more, and nobody else can put back what is
   * held. Told before what waits for the record goes on. Absent: a loss like any other.
   */
  onGone?(why: string): void
  /** bytes that the record may take */
  room: number
  /** the API server does not take the record and will not take it as it is; told once until one is taken again */
  onRefused(why: string): void
}

/** What came in while a write was under way is written together after this, milliseconds. */
const lazyMs = 300
const retryMs = [100, 200, 500, 1000, 2000]
/** So often a record is refused before it is said, and from then on it is offered this seldom, milliseconds. */
const maxRefusals = 3
const refusedRetryMs = 15_000
/** Nobody refuses a smaller record for its size. */
const smallBytes = 50_000

/** Answers that do not change by asking again: bad request, too large, invalid. */
const permanent = new Set([400, 413, 422])

/** The Event of a record that the API server refuses. */
export const refusedRecord = (resource: Resource, why: string): Happening => {
  const { apiVersion, kind, name, namespace, uid } = resource
  return {
    regarding: { apiVersion, kind, metadata: { name, namespace, uid, resourceVersion: '' } },
    type: 'Warning',
    reason: 'RecordRefused',
    note: `The API server does not take the state of this run, so nothing more is begun and everything is put back: ${why}. A document that is too large: split it. A value or field that is not allowed: bring the CRDs to the version of the runner (helm upgrade).`,
  }
}

type Waiter = { version: number; resolve: () => void; reject: (why: unknown) => void }

/**
 * Keeps `status.run` of one resource: the newest state, one write at a time, retried until it is stored.
 * `durable()` is the gate before every act.
 */
export class StatusKeeper {
  #settings: KeeperSettings
  #state: RunState | null = null
  #version = 0
  #written = 0
  #urgent = 0
  #writing = false
  #timer: NodeJS.Timeout | undefined
  #dueAt = 0
  #resourceVersion = '0'
  #room: number
  #sentBytes = 0
  #refusals = 0
  #waiters: Waiter[] = []
  #gone: string | null = null
  #end = new AbortController()

  constructor(settings: KeeperSettings) {
    this.#settings = settings
    this.#room = settings.room
  }

  /** The API server will not take the record as it is: what waits for it may wait for ever. */
  get refused(): boolean {
    return this.#refusals >= maxRefusals
  }

  /** The newest state, to be written within `waitMs` at the latest, together with what comes until then. */
  offer(state: RunState, waitMs = lazyMs): void {
    this.#state = state
    this.#version++
    if (!this.#writing && this.#gone === null) this.#within(waitMs)
  }

  #within(ms: number): void {
    const dueAt = this.#settings.clock.now() + ms
    if (this.#end.signal.aborted || (this.#timer && this.#dueAt <= dueAt)) return
    clearTimeout(this.#timer)
    this.#dueAt = dueAt
    this.#timer = setTimeout(() => this.#push(this.#version), ms)
  }

  /** Resolves once everything that was offered so far is stored; writes at once. */
  durable(signal: AbortSignal): Promise<void> {
    const stored = this.stored(signal)
    this.#push(this.#version)
    return stored
  }

  /** Like `durable`, but in the time of the next ordinary write. */
  stored(signal: AbortSignal): Promise<void> {
    // Without a resource there is nothing to wait for.
    if (this.#written >= this.#version || this.#gone !== null) return Promise.resolve()
    return new Promise((resolve, reject) => {
      if (signal.aborted || this.#end.signal.aborted)
        return reject(signal.reason ?? this.#end.signal.reason)
      const waiter: Waiter = { version: this.#version, resolve, reject }
      this.#waiters.push(waiter)
      signal.addEventListener(
        'abort',
        () => {
          this.#waiters = this.#waiters.filter((w) => w !== waiter)
          reject(signal.reason)
        },
        { once: true },
      )
    })
  }

  /** Writes no more; who still waits is told why. */
  close(why: string): void {
    if (this.#end.signal.aborted) return
    clearTimeout(this.#timer)
    this.#end.abort(new Error(why))
    for (const waiter of this.#waiters.splice(0)) waiter.reject(this.#end.signal.reason)
  }

  #push(version: number): void {
    this.#urgent = Math.max(this.#urgent, version)
    if (this.#writing || this.#gone !== null || this.#end.signal.aborted) return
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#writing = true
    void this.#writeAll()
  }

  async #writeAll(): Promise<void> {
    let failures = 0
    try {
      await this.#settings.claimed
      while (this.#written < this.#urgent && this.#gone === null && !this.#end.signal.aborted) {
        const version = this.#version
        try {
          await this.#write()
          failures = 0
          this.#refusals = 0
          this.#written = version
          this.#release()
        } catch (error) {
          if (this.#end.signal.aborted) return
          this.#hear(error, failures)
          const soon = retryMs[Math.min(failures++, retryMs.length - 1)] ?? 2000
          const ms = this.refused ? refusedRetryMs : soon
          this.#settings.log.warn({ err: error }, 'status could not be written; trying again')
          await this.#settings.clock.sleep(ms, this.#end.signal)
        }
      }
    } catch (error) {
      this.close(error instanceof Error ? error.message : String(error))
    } finally {
      this.#writing = false
      if (this.#version > this.#written && this.#state && this.#gone === null) this.#within(lazyMs)
    }
  }

  /** What a failed write says: too large, for which a smaller record helps, or not acceptable at all. */
  #hear(error: unknown, failures: number): void {
    if (!(error instanceof KubeError)) return
    const { status, message } = error
    // etcd's «request is too large» comes as 500, as do outages that pass.
    const tooLarge = status === 413 || (status === 500 && failures % 2 === 1)
    if (tooLarge && this.#sentBytes > smallBytes) {
      this.#room = Math.floor(this.#sentBytes / 2)
      return
    }
    if (!permanent.has(status)) return
    this.#refusals++
    if (this.#refusals === maxRefusals) this.#settings.onRefused(message)
  }

  /** What the resource looked like last: every write is refused by the API server when it has changed since. */
  saw(object: KubeObject): void {
    const version = object.metadata.resourceVersion
    if (Number(version) > Number(this.#resourceVersion)) this.#resourceVersion = version
  }

  /**
   * Fenced by resourceVersion: after another runner's claim, or on a namesake of a resource that is gone, nothing
   * of ours is stored. A conflict is looked at: mostly the operator has written its part.
   */
  async #write(): Promise<void> {
    const { kube, resource } = this.#settings
    const { name, namespace } = resource
    const run = this.#state && fitted(this.#state, this.#room)
    this.#sentBytes = bytesOf(run)
    try {
      CRASH: reach('runner/status-writing', name)
      const answer = await kube.apply<KubeObject>(
        resource.statusPath,
        {
          apiVersion: resource.apiVersion,
          kind: resource.kind,
          metadata: { name, namespace, resourceVersion: this.#resourceVersion },
          status: { run },
        },
        { fieldManager: 'chaosplane-runner', force: true, signal: this.#end.signal },
      )
      this.saw(answer)
      CRASH: reach('runner/status-written', name)
    } catch (error) {
      if (!isConflict(error) && !isNotFound(error)) throw error
      await this.#lookAgain()
      if (this.#gone !== null || this.#end.signal.aborted) return
      // It is there after all: tried again, after a while.
      if (isNotFound(error)) throw error
      await this.#write()
    }
  }

  /** Resolves when the run is ours by a fresh look; throws when it is not. */
  async confirm(signal: AbortSignal): Promise<void> {
    await this.#settings.claimed
    if (this.#gone === null) await this.#lookAgain(signal)
    this.#end.signal.throwIfAborted()
    if (this.#gone !== null) throw new Error(this.#gone)
  }

  async #lookAgain(signal = this.#end.signal): Promise<void> {
    const { kube, resource, me } = this.#settings
    const object = await kube.find<KubeObject>(resource.path, { signal })
    if (!object) return this.#leave('the resource no longer exists')
    if (object.metadata.uid !== resource.uid) return this.#leave('another resource has its name')
    const holder = claimOf(object)
    if (!holder || !sameIdentity(holder, me))
      return this.#lose(`${holder ? `runner ${holder.pod}` : 'nobody'} holds the run now`)
    this.saw(object)
  }

  #leave(why: string): void {
    const { onGone } = this.#settings
    if (!onGone) this.#lose(why)
    if (!onGone || this.#gone !== null || this.#end.signal.aborted) return
    this.#gone = why
    onGone(why)
    for (const waiter of this.#waiters.splice(0)) waiter.resolve()
  }

  #lose(why: string): void {
    this.close(why)
    this.#settings.onLoss(why)
  }

  #release(): void {
    const done = this.#waiters.filter((w) => w.version <= this.#written)
    this.#waiters = this.#waiters.filter((w) => w.version > this.#written)
    for (const waiter of done) waiter.resolve()
  }
}
