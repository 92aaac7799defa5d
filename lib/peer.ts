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

/** Makes the common waiting room of one peer. */
export function createPeer(settings: PeerSettings, around: Around): Peer {
  const { clock, random, log } = around
  let failures = 0
  let failure: Failure | undefined
  let downSince = 0
  let prober: symbol | undefined
  const waiting = new Set<() => void>()

  const wakeAll = (): void => {
    for (const wake of waiting) wake()
    waiting.clear()
  }
  const cameUp = (): void => {
    if (failures > 0)
      log.info({ outageMs: clock.now() - downSince, failures }, `${settings.name} answers again`)
    failures = 0
    failure = undefined
    prober = undefined
    wakeAll()
  }
  const wentDown = (seen: Failure, me: symbol): void => {
    // several calls under way fail together: only one of them counts
    if (prober !== undefined && prober !== me) return
    prober = me
    failures++
    failure = seen
    if (failures === 1) downSince = clock.now()
    const hint = seen.kind === 'forbidden' ? ` ${settings.forbiddenHint}` : ''
    const said = `${settings.name} ${seen.why};${hint} what is due is kept and tried again`
    // the first failures, then every doubling, so that an outage of a day is some twenty lines
    if (seen.kind === 'forbidden' || (failures & (failures - 1)) === 0) log.warn({ failures }, said)
  }
  async function turn(me: symbol, signal: AbortSignal): Promise<void> {
    while (failure && prober !== undefined && prober !== me) {
      const { promise, wake } = waiter(signal)
      waiting.add(wake)
      await promise.finally(() => waiting.delete(wake))
    }
    if (!failure) return
    prober = me
    await clock.sleep(waitAfter(settings, failures, failure, random), signal)
  }

  return {
    get up() {
      return failure === undefined
    },
    get trouble() {
      return failure?.why
    },
    async call(attempt, signal) {
      const me = Symbol(settings.name)
      try {
        for (;;) {
          await turn(me, signal)
          const outcome = await attempt(signal)
          if (outcome.kind === 'withdrawn') return outcome
          if (outcome.kind === 'delivered' || outcome.kind === 'refused') {
            cameUp()
            return outcome
          }
          wentDown(outcome, me)
        }
      } finally {
        if (prober === me) {
          prober = undefined
          wakeAll()
        }
      }
    },
  }
}
