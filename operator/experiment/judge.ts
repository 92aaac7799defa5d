import { isoSeconds } from '../../model/conditions.ts'
import type { Plan } from '../../model/plan.ts'
import type { RunState, TargetState, TaskState } from '../../model/state.ts'
import { judgeRun } from '../../model/verdict.ts'
import type { Judged } from './observe.ts'

const maxAffected = 200

/** Phase, verdict, score and times of a run as they stand in status. */
export function judge(dialect: Plan['dialect'], run: RunState | null): Judged {
  if (!run) return { phase: 'Pending' }
  const judged = judgeRun(dialect, run)
  const { score, counters, tasks, terminal } = judged
  return {
    phase: judged.phase,
    verdict: judged.verdict,
    progress: judged.progress,
    message: judged.message,
    experimentRunId: run.runId,
    ...counters,
    ...(terminal
      ? { resiliencyScore: score, probeSuccessPercentage: judged.probeSuccessPercentage }
      : {}),
    ...timesOf(dialect, run),
    affectedResources: affectedBy(run),
    tasks,
  }
}

function timesOf(
  dialect: Plan['dialect'],
  run: RunState,
): Pick<Judged, 'startTime' | 'endTime' | 'recoveryStartTime'> {
  const started = dialect === 'ChaosExperiment' ? enteredRunning(run) : run.startedAt
  const recovery = dialect === 'ChaosExperiment' ? enteredRecovery(run) : undefined
  return {
    ...(started === undefined ? {} : { startTime: isoSeconds(started) }),
    ...(recovery === undefined ? {} : { recoveryStartTime: isoSeconds(recovery) }),
    ...(run.finishedAt === undefined ? {} : { endTime: isoSeconds(run.finishedAt) }),
  }
}

const hasMode = (task: TaskState, mode: string): boolean =>
  task.probes.some((probe) => probe.mode === mode)

/** A ChaosExperiment counts from the end of its first steady-state checks. */
function enteredRunning(run: RunState): number | undefined {
  if (!run.tasks.some((task) => hasMode(task, 'SOT'))) return run.startedAt
  const starts = run.tasks.flatMap(({ chaosAt }) => (chaosAt === undefined ? [] : [chaosAt]))
  return starts.length > 0 ? Math.min(...starts) : undefined
}

function enteredRecovery({ tasks }: RunState): number | undefined {
  const task = tasks.find((t) => hasMode(t, 'EOT') && t.chaosEndedAt !== undefined)
  const isRecovering = task?.stage === 'ramp-down' || task?.stage === 'post-probes'
  return task?.stage === 'done' || isRecovering ? task?.chaosEndedAt : undefined
}

const untouched = new Set<TargetState['state']>(['targeted', 'failed', 'untouched'])

/** What was really touched: recorded but untouched targets are not in it. */
function affectedBy({ tasks }: RunState): string[] {
  const touched = tasks.flatMap(({ targets }) =>
    targets
      .filter(({ state }) => !untouched.has(state))
      .map(({ kind, namespace, name }) => [kind, namespace, name].filter(Boolean).join('/')),
  )
  return [...new Set(touched)].slice(-maxAffected)
}
