import { backoffMs } from '../backoff.ts'
import type { Clock } from '../clock.ts'
import { KubeError } from './errors.ts'

/** How safe it is to send a call once more. */
export type Repeatable =
  /** reads: whatever went wrong */
  | 'always'
  /** writes that carry a precondition or a name: also when the answer was lost */
  | 'if-lost'
  /** writes that must not happen twice: only when the server says that it did nothing */
  | 'if-refused'

const shape = { baseMs: 100, maxMs: 5_000 }
/** No answer at all costs the server nothing, and when it is back what is owed has seconds. */
const unanswered = { baseMs: 100, maxMs: 1_000 }
/** Nothing was sent yet when these come. */
const neverSent = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'UND_ERR_CONNECT_TIMEOUT',
])

/** How long to wait before the next attempt, or undefined when the error is final. */
export function waitBeforeRetry(
  error: KubeError,
  how: { repeatable: Repeatable; attempt: number; random: () => number },
): number | undefined {
  if (!mayRepeat(error, how.repeatable)) return undefined
  const growing = error.reason === 'Unreachable' ? unanswered : shape
  return Math.max(error.retryAfterMs ?? 0, backoffMs(growing, how.attempt, how.random))
}

function mayRepeat(error: KubeError, repeatable: Repeatable): boolean {
  const { status, reason } = error
  if (status === 429) return true
  if (status === 503 && error.retryAfterMs !== undefined) return true
  if (reason === 'Unreachable') return repeatable !== 'if-refused' || wasNeverSent(error.cause)
  if (repeatable === 'always') return status >= 500 || reason === 'BadAnswer'
  return repeatable === 'if-lost' && status >= 502
}

function wasNeverSent(cause: unknown): boolean {
  if (cause instanceof AggregateError) return cause.errors.every(wasNeverSent)
  return cause instanceof Error && 'code' in cause && neverSent.has(String(cause.code))
}

type Attempts = {
  repeatable: Repeatable
  signal: AbortSignal
  clock: Clock
  random: () => number
}

/** Repeats `attempt` as long as that is safe and `signal` allows. A wait cut short throws the last error. */
export async function repeat<R>(attempt: () => Promise<R>, how: Attempts): Promise<R> {
  for (let n = 0; ; n++) {
    try {
      return await attempt()
    } catch (error) {
      if (how.signal.aborted || !(error instanceof KubeError)) throw error
      const waitMs = waitBeforeRetry(error, { ...how, attempt: n })
      if (waitMs === undefined) throw error
      try {
        await how.clock.sleep(waitMs, how.signal)
      } catch {
        throw error
      }
    }
  }
}
