import type { FaultCatalogue, FaultDefinition } from '../../model/fault.ts'
import type { Compiled, Plan, Refusal, TaskPlan } from '../../model/plan.ts'
import type { RunState, TaskState } from '../../model/state.ts'
import type { FactBody } from '../engine/fact.ts'
import { underWay } from '../engine/reduce.ts'
import { hasPods } from '../engine/view.ts'
import type { Experiment, Resource } from './resource.ts'
import { isOther } from './start.ts'

const editedText =
  'the spec was edited in mid-run and its runner was replaced, so that nobody knows any more what the run was to do: it is ended, and what it holds is put back. Start a new run, and edit it only when it has ended'

const refusedText = ({ path, reason }: Refusal): string =>
  `the runner was replaced by one of another version, which does not take the document of the run (${path}: ${reason}): the run is ended, and what it holds is put back`

const noSuchTask: Refusal = { path: 'spec', reason: 'it has other tasks', suggestion: '' }

/**
 * Why a run that is taken over cannot be carried on by its document; empty: it can. `mark`: of the document as it stands
 * now. A run of an older version has none on record, and is known by its tasks alone.
 */
export function endOf(run: RunState, mark: string, compiled: Compiled): FactBody[] {
  const fits = compiled.ok && !isOther(compiled.plan, run)
  const isEdited = run.document === undefined ? !fits : run.document !== mark
  if (isEdited) return [{ fact: 'edited', why: editedText }]
  if (fits) return []
  const why = refusedText((compiled.ok ? null : compiled.refusals[0]) ?? noSuchTask)
  const trouble = { code: 'GENERIC_ERROR' as const, reason: why }
  return underWay(run).map(({ name: task }) => ({
    fact: 'prepare-failed',
    task,
    trouble,
    fatal: true,
  }))
}

/** The fault that state names as it was written. */
const faultOf = (
  { fault: written }: TaskState,
  faults: FaultCatalogue,
): FaultDefinition | undefined =>
  Object.values(faults).find(({ names }) =>
    [...names.litmus, ...names.chaosplane].includes(written),
  )

/** Faults of tasks that are not over and that this version cannot end: it does not know them. */
export const unknownFaults = ({ tasks }: RunState, faults: FaultCatalogue): string[] => {
  const open = tasks.filter((task) => task.stage !== 'done' || hasPods(task))
  return [...new Set(open.filter((t) => !faultOf(t, faults)).map(({ fault }) => fault))]
}

type Known = { resource: Resource; object: Experiment; faults: FaultCatalogue }

/**
 * The plan of a run whose document is gone: enough to put back what its record says, by the engine and all that stands
 * around it, and nothing by which anything could be injected. All tasks are in one step: none waits for the revert of
 * another.
 */
export function planOfRecord({ tasks }: RunState, { resource, object, faults }: Known): Plan {
  const { kind: dialect, namespace, name, uid } = resource
  const plans = tasks.flatMap((task) => {
    const fault = faultOf(task, faults)
    return fault ? [taskOfRecord(task, fault)] : []
  })
  return {
    dialect,
    namespace,
    name,
    uid,
    account: null,
    experimentId: String(object.spec?.['experimentId'] ?? '').trim() || uid,
    runId: '',
    cleanup: 'delete',
    steps: [plans.map((task) => task.name)],
    tasks: plans,
    recoveryMs: null,
    notes: [],
  }
}

const taskOfRecord = ({ name, fault: faultWritten, weight }: TaskState, fault: FaultDefinition) =>
  ({
    name,
    fault: fault.id,
    faultWritten,
    params: fault.lasts === 'instant' ? usualParams(fault, faultWritten) : {},
    selection: { workloads: [], pods: [], nodes: [], nodeLabel: '', container: '', share: 'one' },
    probes: [],
    durationMs: 0,
    rampMs: 0,
    sequence: 'parallel',
    healthCheck: null,
    weight,
    pods: {},
    ofRecord: true,
  }) satisfies TaskPlan

/** What was struck is followed to its end: how long that may take stands in them. */
function usualParams(fault: FaultDefinition, written: string): Record<string, unknown> {
  try {
    return fault.fromLitmus({}, written)
  } catch {
    return {}
  }
}
