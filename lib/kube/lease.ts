import { type Clock, systemClock, systemMonotonic, systemRandom } from '../clock.ts'
import type { KubeClient } from './client.ts'
import { limit } from './deadline.ts'
import { isAlreadyExists, isConflict } from './errors.ts'
import { apiVersionOf, leases, resourcePath } from './paths.ts'
import { createReflector } from './reflector.ts'
import { type KubeObject, microTime } from './types.ts'

/** Times of an election, milliseconds. With the usual ones control is back within 2 s of a killed leader. */
export type LeaseTiming = {
  /** a lease that did not move for so long is free */
  durationMs: number
  /** the leader gives up when it could not renew for so long; less than `durationMs` */
  giveUpMs: number
  /** the leader renews this often */
  renewMs: number
  /** a candidate that failed to take the lease waits so long */
  retryMs: number
}

const usual: LeaseTiming = { durationMs: 1_500, giveUpMs: 1_000, renewMs: 400, retryMs: 200 }

/** What an election needs. */
export type ElectionOptions = {
  client: KubeClient
  namespace: string
  name: string
  /** unique to this process, not only to its pod: a restarted container is another candidate */
  identity: string
  /** runs while we lead; hears `signal` when the lease is lost or the program stops. Its end releases the lease */
  lead: (term: Term) => Promise<void>
  /** whether the process of this holder is known to be dead: then its lease is free at once */
  isDead?: (holder: string) => boolean
  clock?: Clock
  monotonic?: () => number
  random?: () => number
  timing?: Partial<LeaseTiming>
  onError?: (error: unknown) => void
}

/** One time of leading. */
export type Term = {
  signal: AbortSignal
  /** grows with every change of leader: a mark for what this term writes */
  number: number
  /** false as soon as the lease may be another's, even when no timer could run (a paused process) */
  holds(): boolean
}

type LeaseSpec = {
  holderIdentity?: string
  leaseDurationSeconds?: number
  acquireTime?: string
  renewTime?: string
  leaseTransitions?: number
}
type Lease = KubeObject & { spec?: LeaseSpec }

/** A candidate. */
export type Election = {
  /** takes part until the signal is aborted; a held lease is released then */
  run(signal: AbortSignal): Promise<void>
  leader(): string | undefined
  /** asks `isDead` again: something is known that was not known before */
  look(): void
}

/** A candidate for a Lease of coordination.k8s.io. Every write carries the version that it was decided on. */
export function createElection(options: ElectionOptions): Election {
  const candidate = new Candidate(options)
  return {
    run: (signal) => candidate.run(signal),
    leader: () => candidate.seen?.spec?.holderIdentity || undefined,
    look: () => candidate.look(),
  }
}

class Candidate {
  seen: Lease | undefined
  readonly #o: ElectionOptions
  readonly #timing: LeaseTiming
  readonly #clock: Clock
  readonly #monotonic: () => number
  /** when `seen` was seen to move, by our own clock: clocks of two nodes are never compared */
  #movedAt = 0
  #leading = false
  #wake: () => void = () => {}

  constructor(options: ElectionOptions) {
    this.#o = options
    this.#timing = { ...usual, ...options.timing }
    this.#clock = options.clock ?? systemClock
    this.#monotonic = options.monotonic ?? systemMonotonic
    const { durationMs, giveUpMs, renewMs } = this.#timing
    if (!(renewMs < giveUpMs && giveUpMs < durationMs))
      throw new Error('a lease needs renewMs < giveUpMs < durationMs')
  }

  look(): void {
    this.#wake()
  }

  async run(signal: AbortSignal): Promise<void> {
    const stop = new AbortController()
    const watching = this.#watch(AbortSignal.any([signal, stop.signal]))
    try {
      while (!signal.aborted) {
        const waitMs = this.#waitUntilFree()
        if (waitMs > 0) await this.#sleep(waitMs, signal)
        else if (await this.#tryToTake(signal)) await this.#lead(signal)
        else await this.#sleep(this.#timing.retryMs * (1 + this.#random()), signal)
      }
    } finally {
      stop.abort()
      await watching
    }
  }

  #random(): number {
    return (this.#o.random ?? systemRandom)()
  }

  /** Standing by costs a watch and no polling. */
  async #watch(signal: AbortSignal): Promise<void> {
    const { client, namespace, name } = this.#o
    const reflector = createReflector<Lease>({
      client,
      path: resourcePath({ ...leases, namespace }),
      query: { fieldSelector: `metadata.name=${name}` },
      clock: this.#clock,
      timing: { unreachableMaxMs: 500 },
      onError: (error) => this.#o.onError?.(error),
    })
    reflector.store.onChange(({ type, object }) => {
      // a leader knows its own writes better than a watch that lags behind them
      if (!this.#leading) this.#note(type === 'deleted' ? undefined : object)
    })
    await reflector.run(signal)
  }

  #note(lease: Lease | undefined): void {
    if (lease?.metadata.resourceVersion !== this.seen?.metadata.resourceVersion)
      this.#movedAt = this.#monotonic()
    this.seen = lease
    this.#wake()
  }

  #waitUntilFree(): number {
    const holder = this.seen?.spec?.holderIdentity
    if (!holder || holder === this.#o.identity || this.#o.isDead?.(holder)) return 0
    return Math.max(0, this.#movedAt + this.#timing.durationMs - this.#monotonic())
  }

  /** Sleeps until the time is over or the lease moved. */
  async #sleep(ms: number, signal: AbortSignal): Promise<void> {
    const woken = new AbortController()
    this.#wake = () => woken.abort()
    const forward = () => woken.abort()
    signal.addEventListener('abort', forward, { once: true })
    await this.#clock.sleep(ms, woken.signal).catch(() => {})
    signal.removeEventListener('abort', forward)
    this.#wake = () => {}
  }

  async #tryToTake(signal: AbortSignal): Promise<boolean> {
    try {
      const found = await this.#o.client.find<Lease>(this.#path(), this.#call(signal))
      this.#note(found)
      // asked again, whatever was seen before: somebody was faster, or the holder is alive after all
      if (this.#waitUntilFree() > 0) return false
      const now = microTime(this.#clock.now())
      this.#note(await this.#write(found, { acquireTime: now, renewTime: now }, signal))
      return true
    } catch (error) {
      if (!signal.aborted && !isConflict(error) && !isAlreadyExists(error)) this.#o.onError?.(error)
      return false
    }
  }

  #write(on: Lease | undefined, set: LeaseSpec, signal: AbortSignal): Promise<Lease> {
    const { client, namespace, name, identity } = this.#o
    const holder = set.holderIdentity ?? identity
    const transitions = on?.spec?.leaseTransitions ?? 0
    const changes = set.acquireTime !== undefined && on?.spec?.holderIdentity !== identity
    const body = {
      apiVersion: apiVersionOf(leases),
      kind: 'Lease',
      metadata: on?.metadata ?? { name, namespace },
      spec: {
        ...on?.spec,
        ...set,
        holderIdentity: holder,
        leaseDurationSeconds: Math.ceil(this.#timing.durationMs / 1000),
        leaseTransitions: transitions + (changes ? 1 : 0),
      },
    }
    const call = this.#call(signal)
    return on
      ? client.replace<Lease>(this.#path(), body, call)
      : client.create<Lease>(resourcePath({ ...leases, namespace }), body, call)
  }

  #path(): string {
    const { namespace, name } = this.#o
    return resourcePath({ ...leases, namespace, name })
  }

  #call(signal: AbortSignal): { signal: AbortSignal; deadlineMs: number } {
    return { signal, deadlineMs: this.#timing.giveUpMs }
  }

  async #lead(signal: AbortSignal): Promise<void> {
    const { giveUpMs } = this.#timing
    this.#leading = true
    let renewedAt = this.#monotonic()
    const term = new AbortController()
    // told to stop, the leader still holds the lease while it finishes its work
    const keeping = new AbortController()
    const forward = () => term.abort(signal.reason)
    signal.addEventListener('abort', forward, { once: true })
    const renewing = this.#renew(keeping, (at) => {
      renewedAt = at
    })
    keeping.signal.addEventListener('abort', () => term.abort(keeping.signal.reason))
    try {
      await this.#o.lead({
        signal: term.signal,
        number: this.seen?.spec?.leaseTransitions ?? 0,
        holds: () => !keeping.signal.aborted && this.#monotonic() - renewedAt < giveUpMs,
      })
    } catch (error) {
      if (!term.signal.aborted) this.#o.onError?.(error)
    } finally {
      signal.removeEventListener('abort', forward)
      const lost = keeping.signal.aborted
      keeping.abort()
      await renewing
      if (!lost) await this.#release()
      this.#leading = false
    }
  }

  /** Renews until `keeping` ends, and ends it when renewing failed for too long. */
  async #renew(keeping: AbortController, renewed: (at: number) => void): Promise<void> {
    const { renewMs, giveUpMs } = this.#timing
    let last = this.#monotonic()
    while (!keeping.signal.aborted) {
      await this.#clock.sleep(renewMs, keeping.signal).catch(() => {})
      if (keeping.signal.aborted) return
      const startedAt = this.#monotonic()
      const left = last + giveUpMs - startedAt
      if (left <= 0 || !(await this.#renewOnce(keeping.signal, left))) {
        keeping.abort(new LeaseLost(this.#o.name))
        return
      }
      last = startedAt
      renewed(startedAt)
    }
  }

  /** One renewal, tried again until `ms` are over. False: the lease is another's, or out of reach. */
  async #renewOnce(signal: AbortSignal, ms: number): Promise<boolean> {
    const limited = limit(signal, ms, () => new LeaseLost(this.#o.name))
    try {
      while (!limited.signal.aborted) {
        try {
          const now = microTime(this.#clock.now())
          this.#note(await this.#write(this.seen, { renewTime: now }, limited.signal))
          return true
        } catch (error) {
          if (limited.signal.aborted) return false
          if (isConflict(error) && !(await this.#readAgain(limited.signal))) return false
          if (!isConflict(error)) this.#o.onError?.(error)
          await this.#clock.sleep(50, limited.signal).catch(() => {})
        }
      }
      return false
    } finally {
      limited.end()
    }
  }

  /** After a conflict: our own earlier write whose answer was lost, or another's? */
  async #readAgain(signal: AbortSignal): Promise<boolean> {
    const found = await this.#o.client
      .find<Lease>(this.#path(), this.#call(signal))
      .catch(() => this.seen)
    this.#note(found)
    return found?.spec?.holderIdentity === this.#o.identity
  }

  async #release(): Promise<void> {
    // the program's signal is aborted by now: this last word has a deadline of its own
    const signal = AbortSignal.timeout(this.#timing.giveUpMs)
    try {
      const now = microTime(this.#clock.now())
      this.#note(await this.#write(this.seen, { holderIdentity: '', renewTime: now }, signal))
    } catch (error) {
      this.#o.onError?.(error)
    }
  }
}

/** The reason of a term's signal when the lease could not be kept. */
export class LeaseLost extends Error {
  constructor(name: string) {
    super(`the lease ${name} could not be renewed in time; another replica may lead now`)
    this.name = 'LeaseLost'
  }
}
