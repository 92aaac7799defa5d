import type { ProbePlan } from './probe.ts'
import type { PullSecrets } from './pull-secrets.ts'

/** The kinds whose pods can be selected by owner; `any` takes every pod that the labels match. */
export const workloadKinds = [
  'deployment',
  'statefulset',
  'daemonset',
  'replicaset',
  'job',
  'rollout',
  'deploymentconfig',
  'pod',
  'any',
] as const
export type WorkloadKind = (typeof workloadKinds)[number]

/** One selector entry. `names` and `labels` may both be given: a pod must satisfy both. Entries are united. */
export type WorkloadSelector = {
  kind: WorkloadKind
  namespace: string
  names: string[]
  /** Kubernetes label selector text, comma means AND; empty: no restriction */
  labels: string
}

export type Selection = {
  workloads: WorkloadSelector[]
  /** TARGET_PODS: looked up by name in the namespace of the first entry; overrides nodeLabel and percentage */
  pods: string[]
  /** TARGET_NODE, TARGET_NODES: of a fault that acts on nodes; all of them are hit */
  nodes: string[]
  /** NODE_LABEL: label selector text over nodes; empty: all nodes */
  nodeLabel: string
  /** TARGET_CONTAINER; empty: the first container */
  container: string
  /** `one`: exactly one pod (percentage 0 or empty); `all`; or percent 1..100: max(1, floor(n*p/100)) */
  share: 'one' | 'all' | number
  /** which of the matching pods are taken, and in which order they are hit; absent: by chance */
  order?: 'alphabetical' | 'reverse'
}

/** What the experiment may say about the pods that we start for it. */
export type PodSettings = {
  resources?: Record<string, unknown>
  tolerations?: Record<string, unknown>[]
  labels?: Record<string, string>
  annotations?: Record<string, string>
  imagePullSecrets?: PullSecrets
}

export type ProbeReference = { ref: string; mode: ProbePlan['mode'] }

export type TaskPlan = {
  /** unique in the experiment, for example `pod-delete-wm3` */
  name: string
  /** canonical fault id: the folder under runner/faults */
  fault: string
  /** as the user wrote it: `pod-kill`; this is what peers are told */
  faultWritten: string
  /** parsed by the fault's schema; JSON */
  params: Record<string, unknown>
  selection: Selection
  probes: (ProbePlan | ProbeReference)[]
  /** total chaos duration, milliseconds */
  durationMs: number
  /** waited before the injection and again after it, milliseconds */
  rampMs: number
  sequence: 'serial' | 'parallel'
  /** what the selection finds while the fault is held is hit too */
  dynamic?: true
  healthCheck: { delayMs: number; timeoutMs: number } | null
  /** 1 to 10, share of the resilience score */
  weight: number
  pods: PodSettings
  /** made from the record of the run: what the task was to do is not known, only what it did */
  ofRecord?: true
}

export type Plan = {
  dialect: 'KubernetesChaosExperiment' | 'ChaosExperiment'
  namespace: string
  name: string
  uid: string
  /** service account whose rights are used, in `namespace`; null: the chart's default account */
  account: string | null
  experimentId: string
  /** empty: the engine makes one */
  runId: string
  cleanup: 'delete' | 'retain'
  /** task names: outer in series, inner in parallel */
  steps: string[][]
  tasks: TaskPlan[]
  /** limit for probes that wait for recovery (`steadyState.after`), milliseconds; null: one evaluation */
  recoveryMs: number | null
  /** what was accepted but is not used, each a full sentence with the path of the field */
  notes: string[]
}

/** A refusal: where, why, and what would be right. */
export type Refusal = { path: string; reason: string; suggestion: string }
export type Compiled = { ok: true; plan: Plan } | { ok: false; refusals: Refusal[] }
