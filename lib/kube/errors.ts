import type { StatusBody, StatusDetails } from './types.ts'

/** Reasons of our own for calls that got no answer from the API server. */
export type OwnReason = 'Unreachable' | 'DeadlineExceeded' | 'BadAnswer' | 'StreamBroken'

type KubeErrorParts = {
  /** HTTP status; 0 when no answer came */
  status: number
  reason: string
  message: string
  retryAfterMs?: number | undefined
  details?: StatusDetails | undefined
  cause?: unknown
}

/** A call to the API server that did not succeed. `message` is a full sentence with the call in front. */
export class KubeError extends Error {
  readonly status: number
  readonly reason: string
  readonly retryAfterMs: number | undefined
  readonly details: StatusDetails | undefined
  constructor(parts: KubeErrorParts) {
    super(parts.message, { cause: parts.cause })
    this.name = 'KubeError'
    this.status = parts.status
    this.reason = parts.reason
    this.retryAfterMs = parts.retryAfterMs
    this.details = parts.details
  }
}

type Answer = { call: string; status: number; text: string; retryAfter?: string | undefined }

/** The KubeError in an HTTP answer: its Status body where there is one, else its text. */
export function errorFromAnswer({ call, status, text, retryAfter }: Answer): KubeError {
  const body = parseStatus(text)
  const seconds = Number(retryAfter ?? body?.details?.retryAfterSeconds ?? Number.NaN)
  const said = body?.message ?? text.slice(0, 300).trim()
  return new KubeError({
    status,
    reason: body?.reason || defaultReason(status),
    message: `${call}: ${said || `HTTP ${status}`}${nextStep(status, said)}`,
    retryAfterMs: Number.isFinite(seconds) ? seconds * 1000 : undefined,
    details: body?.details,
  })
}

function parseStatus(text: string): StatusBody | undefined {
  try {
    const body: unknown = JSON.parse(text)
    if (typeof body === 'object' && body !== null && 'kind' in body && body.kind === 'Status')
      return body as StatusBody
  } catch {
    // an answer of a proxy or a load balancer: its text is the message
  }
  return undefined
}

const defaultReasons: Record<number, string> = {
  400: 'BadRequest',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'NotFound',
  409: 'Conflict',
  410: 'Expired',
  422: 'Invalid',
  429: 'TooManyRequests',
  500: 'InternalError',
  503: 'ServiceUnavailable',
  504: 'Timeout',
}
const defaultReason = (status: number): string => defaultReasons[status] ?? `Http${status}`

function nextStep(status: number, said: string): string {
  if (status === 401)
    return ' (check that the token or client certificate is valid and not expired)'
  // A quota, Pod Security or a webhook forbids too, whatever the rights are.
  if (status === 403 && (said === '' || said.includes(' cannot ')))
    return ' (grant this verb by a Role or ClusterRole and bind it to that account)'
  return ''
}

/** A write that was not sent, for the right to it was gone by then. */
export class NotSent extends Error {
  constructor(call: string) {
    super(`${call}: not sent, another replica may lead now`)
    this.name = 'NotSent'
  }
}

/** No such object, or no such kind. */
export const isNotFound = (e: unknown): boolean => e instanceof KubeError && e.status === 404
/** Somebody else wrote first, owns the field, or the name is taken. */
export const isConflict = (e: unknown): boolean => e instanceof KubeError && e.status === 409
/** The name is taken: for a deterministic name this means done before. */
export const isAlreadyExists = (e: unknown): boolean =>
  e instanceof KubeError && e.status === 409 && e.reason === 'AlreadyExists'
/** The resourceVersion is too old: list again. */
export const isExpired = (e: unknown): boolean => e instanceof KubeError && e.status === 410
/** The API server answered that it will not do it: it certainly was not done. */
export const isRefusal = (e: unknown): boolean =>
  e instanceof KubeError && [400, 403, 404, 413, 422].includes(e.status)
/** The account lacks the right. */
export const isForbidden = (e: unknown): boolean => e instanceof KubeError && e.status === 403
