import { backoffMs } from './backoff.ts'
import type { Clock } from './clock.ts'
import type { Outcome } from './http.ts'
import type { Log } from './log.ts'

export type PeerSettings = {
  /** for messages: `kserver`, `log-service` */
  name: string
  /** first wait after a failure, doubled up to `maxMs`, each with jitter */
  minMs: number
  maxMs: number
  /** wait while the peer does not accept our key */
  forbiddenMs: number
  /** what a human should look at when it does not */
  forbiddenHint: string
}

/** An attempt found that nothing is left to be sent. */
type Withdrawn = { kind: 'withdrawn' }
export type Settled = Extract<Outcome, { kind: 'delivered' | 'refused' }> | Withdrawn

/** A peer that may be away: callers wait together, one of them tries. */
export type Peer = {
  /** Repeats `attempt` until it is delivered, refused for good or withdrawn; throws only when `signal` aborts. */
  call(
    attempt: (signal: AbortSignal) => Promise<Outcome | Withdrawn>,
    signal: AbortSignal,
  ): Promise<Settled>
  /** false from the first failure to the next answer */
  readonly up: boolean
  /** why the last attempt failed, while the peer is away */
  readonly trouble: string | undefined
}

type Around = { clock: Clock; random: () => number; log: Log }
type Failure = Extract<Outcome, { kind: 'unavailable' | 'forbidden' }>

/** How long to wait before the next attempt. */
export function waitAfter(
  settings: PeerSettings,
  failures: number,
  failure: Failure,
  random: () => number,
): number {
  if (failure.kind === 'forbidden') return settings.forbiddenMs
  const { minMs, maxMs } = settings
  const jittered = backoffMs({ baseMs: minMs, maxMs }, failures - 1, random)
  return Math.max(jittered, Math.min(failure.retryAfterMs ?? 0, 60_000))
}

/** Settles when `signal` aborts (by rejecting) or when `wake` is called. */
function waiter(signal: AbortSignal): { promise: Promise<void>; wake: () => void } {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const abort = (): void => reject(signal.reason)
  if (signal.aborted) abort()
  else signal.addEventListener('abort', abort, { once: true })
  const wake = (): void => {
    signal.removeEventListener('abort', abort)
    resolve()
  }
  return { promise, wake }
}

class WaitingRoom implements Peer {
  readonly #settings: PeerSettings
  readonly #around: Around
  readonly #waiting = new Set<() => void>()
  #failures = 0
  #failure: Failure | undefined
  #downSince = 0
  #prober: symbol | undefined

  constructor(settings: PeerSettings, around: Around) {
    this.#settings = settings
    this.#around = around
  }

  get up(): boolean {
    return this.#failure === undefined
  }

  get trouble(): string | undefined {
    return this.#failure?.why
  }

  async call(
    attempt: (signal: AbortSignal) => Promise<Outcome | Withdrawn>,
    signal: AbortSignal,
  ): Promise<Settled> {
    const me = Symbol(this.#settings.name)
    try {
      for (;;) {
        await this.#turn(me, signal)
        const outcome = await attempt(signal)
        if (outcome.kind === 'withdrawn') return outcome
        if (outcome.kind === 'delivered' || outcome.kind === 'refused') {
          this.#cameUp()
          return outcome
        }
        this.#wentDown(outcome, me)
      }
    } finally {
      if (this.#prober === me) {
        this.#prober = undefined
        this.#wakeAll()
      }
    }
  }

  async #turn(me: symbol, signal: AbortSignal): Promise<void> {
    while (this.#failure && this.#prober !== undefined && this.#prober !== me) {
      const { promise, wake } = waiter(signal)
      this.#waiting.add(wake)
      await promise.finally(() => this.#waiting.delete(wake))
    }
    if (!this.#failure) return
    this.#prober = me
    const { clock, random } = this.#around
    await clock.sleep(waitAfter(this.#settings, this.#failures, this.#failure, random), signal)
  }

  #cameUp(): void {
    const { clock, log } = this.#around
    const failures = this.#failures
    if (failures > 0)
      log.info(
        { outageMs: clock.now() - this.#downSince, failures },
        `${this.#settings.name} answers again`,
      )
    this.#failures = 0
    this.#failure = undefined
    this.#prober = undefined
    this.#wakeAll()
  }

  #wentDown(seen: Failure, me: symbol): void {
    // several calls under way fail together: only one of them counts
    if (this.#prober !== undefined && this.#prober !== me) return
    this.#prober = me
    this.#failure = seen
    const failures = ++this.#failures
    if (failures === 1) this.#downSince = this.#around.clock.now()
    // the first failures, then every doubling, so that an outage of a day is some twenty lines
    if (seen.kind !== 'forbidden' && (failures & (failures - 1)) !== 0) return
    const hint = seen.kind === 'forbidden' ? ` ${this.#settings.forbiddenHint}` : ''
    const said = `${this.#settings.name} ${seen.why};${hint} what is due is kept and tried again`
    this.#around.log.warn({ failures }, said)
  }

  #wakeAll(): void {
    for (const wake of this.#waiting) wake()
    this.#waiting.clear()
  }
}

/** Makes the common waiting room of one peer. */
export function createPeer(settings: PeerSettings, around: Around): Peer {
  return new WaitingRoom(settings, around)
}
