import { KubeError } from './errors.ts'

/** An API server that was away may not have read its roles and bindings again for so long, milliseconds. */
const untilRightsMs = 10_000
const againMs = 200

/**
 * An API server that has just started answers before it knows who may do what, and forbids everything. Soon after it was
 * away, «forbidden» says nothing about rights: it becomes «not available», which is tried again.
 */
export function createNotYet(monotonic: () => number): (error: unknown) => unknown {
  let awayAt = Number.NEGATIVE_INFINITY
  return (error) => {
    if (!(error instanceof KubeError)) return error
    if (error.reason === 'Unreachable') awayAt = monotonic()
    if (error.status !== 403 || monotonic() - awayAt > untilRightsMs) return error
    return new KubeError({
      status: 503,
      reason: 'ServiceUnavailable',
      message: `${error.message}; the API server was away until just now, so this is asked again`,
      retryAfterMs: againMs,
      cause: error,
    })
  }
}
