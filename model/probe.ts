import type { Trouble } from './errors.ts'

/** When a probe is evaluated; `AbortWhen` is an abort condition: polled while chaos runs, true ends the run. */
export const probeModes = ['SOT', 'EOT', 'Edge', 'Continuous', 'OnChaos'] as const
export type ProbeMode = (typeof probeModes)[number] | 'AbortWhen'

export type Comparator = {
  type: 'int' | 'float' | 'string'
  criteria: string
  value: string
}

export type RunProperties = {
  /** limit of one try */
  timeoutMs: number
  /** pause between tries of one evaluation */
  intervalMs: number
  /** tries of one evaluation, at least 1 */
  attempts: number
  /** pause between evaluations of a loop */
  pollingMs: number
  /** waited before the first evaluation of each phase */
  initialDelayMs: number
  stopOnFailure: boolean
  verbosity: 'info' | 'debug'
}

/** One key of a Secret in the namespace of the experiment. */
export type SecretKey = { secret: string; key: string }

/** What a probe may take out of Secrets. */
export const probeFiles = ['credentials', 'body', 'ca', 'cert', 'key'] as const
export type ProbeFile = (typeof probeFiles)[number]

export type HttpInputs = {
  url: string
  method: 'GET' | 'POST' | 'HEAD' | 'PUT'
  headers: Record<string, string>
  contentType: string
  body: string
  insecureSkipVerify: boolean
  /** in PEM; empty: the well-known authorities, no certificate of our own, the name in the URL */
  tls: { ca: string; cert: string; key: string; serverName: string }
  /** where contents stand that are empty here until the run begins; they are kept in memory only */
  files: Partial<Record<ProbeFile, SecretKey>>
  auth: { type: 'Basic' | 'Bearer'; credentials: string } | null
  /** null: not checked */
  responseCode: { criteria: string; value: string } | null
  responseBody: { criteria: string; value: string } | null
}

export type CommandInputs = {
  command: string
  comparator: Comparator
  env: { name: string; value: string }[]
  /** null: inline, in an unprivileged pod of our own image */
  source: { image: string; command: string[]; args: string[]; imagePullPolicy: string } | null
}

export type K8sInputs = {
  group: string
  version: string
  /** plural */
  resource: string
  namespace: string
  resourceNames: string[]
  fieldSelector: string
  labelSelector: string
  operation: 'present' | 'absent'
  /** at least so many must match, for `present`; with `ready`, so many Ready pods */
  minimum: number
  ready: boolean
}

export type ProbePlan = {
  name: string
  mode: ProbeMode
  run: RunProperties
  /** what an abort condition (mode AbortWhen) brings about; absent: abort */
  action?: 'abort' | 'pause' | 'rollback'
} & (
  | { type: 'httpProbe'; inputs: HttpInputs }
  | { type: 'cmdProbe'; inputs: CommandInputs }
  | { type: 'k8sProbe'; inputs: K8sInputs }
)
export type ProbeType = ProbePlan['type']

/**
 * One evaluation. `failed`: the hypothesis does not hold (comparator false, refused connection, timeout).
 * `error`: it could not be evaluated (bad URL, command exits non-zero): an Error of the run, not a Fail.
 */
export type ProbeOutcome =
  | { outcome: 'passed'; detail: string }
  | { outcome: 'failed'; detail: string; trouble: Trouble }
  | { outcome: 'error'; detail: string; trouble: Trouble }
