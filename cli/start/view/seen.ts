import type { KubeObject } from '../../../lib/kube/types.ts'
import {
  type ExperimentStatus,
  kubernetesChaosExperimentStatus,
} from '../../../model/documents/status.ts'
import type { Compiled } from '../../../model/plan.ts'
import type { Seen } from './model.ts'

/** The experiment as the API server gives it. */
export type Experiment = KubeObject & { spec?: unknown; status?: unknown }
/** Reads a document as the runner does, for the order and the length of what is still to come. */
export type Compile = (document: Experiment) => Compiled

const finalPhases = new Set<string>([
  'Completed',
  'Completed_With_Probe_Failure',
  'Completed_With_Error',
  'Stopped',
  'Error',
  'Failed',
] satisfies ExperimentStatus['phase'][])

/** What an experiment says of its run. */
export function seenOf(object: Experiment, compile: Compile): Seen {
  const { name, namespace = '' } = object.metadata
  const status = statusOf(object)
  const compiled = compile(object)
  const verdicts = (status.tasks ?? []).map((t) => [t.name, t.verdict] as const)
  return {
    kind: object.kind ?? 'KubernetesChaosExperiment',
    namespace,
    name,
    phase: status.phase ?? '',
    verdict: status.verdict ?? '',
    score: status.resiliencyScore ?? null,
    verdicts: Object.fromEntries(verdicts),
    plan: compiled.ok ? compiled.plan : null,
    run: status.run ?? null,
  }
}

function statusOf(object: Experiment): ExperimentStatus {
  const parsed = kubernetesChaosExperimentStatus.safeParse(object.status ?? {})
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  throw new Error(
    `status.${issue?.path.join('.')} of ${object.metadata.name} cannot be read (${issue?.message}); the image in the cluster must be of this version`,
  )
}

/** Everything is done and put back, and the verdict is written. */
export function isOver({ phase, run }: Seen): boolean {
  if (!finalPhases.has(phase)) return false
  return run === null || run.finishedAt !== undefined || (run.refused?.length ?? 0) > 0
}
