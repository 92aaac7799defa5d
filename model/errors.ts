/** Error codes on the wire (chaosData.errorCode, errorOutput.errorCode): the names that Litmus publishes. */
export const errorCodes = [
  'GENERIC_ERROR',
  'INVALID_SPEC',
  'UNKNOWN_FAULT',
  'MISSING_ACCOUNT',
  'MISSING_RIGHT',
  'STATUS_CHECKS_ERROR',
  'CHAOS_RESULT_CRUD_ERROR',
  'TARGET_SELECTION_ERROR',
  'EXPERIMENT_ABORTED',
  'HELPER_ERROR',
  'CHAOS_INJECT_ERROR',
  'CHAOS_REVERT_ERROR',
  'EFFECT_NOT_SEEN',
  'CUT_SHORT',
  'TIMEOUT',
  'PROBE_TIMEOUT',
  'UNKNOWN_PROBE',
  'HTTP_PROBE_ERROR',
  'HTTP_PROBE_FAILURE',
  'CMD_PROBE_ERROR',
  'CMD_PROBE_FAILURE',
  'K8S_PROBE_ERROR',
  'K8S_PROBE_FAILURE',
  'PROM_PROBE_ERROR',
  'PROM_PROBE_FAILURE',
] as const
export type ErrorCode = (typeof errorCodes)[number]

/** What went wrong, in a shape that status, executionData and logs can carry. `reason` is a full sentence with the next step. */
export type Trouble = { code: ErrorCode; reason: string; target?: string | undefined }

/** An error of the product's own, with a code from the catalogue; everything else is GENERIC_ERROR. */
export class ChaosError extends Error {
  readonly code: ErrorCode
  readonly target: string | undefined
  constructor(trouble: Trouble, cause?: unknown) {
    super(trouble.reason, { cause })
    this.name = 'ChaosError'
    this.code = trouble.code
    this.target = trouble.target
  }
}

/** The Trouble in any thrown value. */
export function troubleOf(thrown: unknown, fallback: ErrorCode = 'GENERIC_ERROR'): Trouble {
  if (thrown instanceof ChaosError)
    return {
      code: thrown.code,
      reason: thrown.message,
      ...(thrown.target ? { target: thrown.target } : {}),
    }
  return { code: fallback, reason: thrown instanceof Error ? thrown.message : String(thrown) }
}
