import type {
  ChaosExperimentPhase,
  KubernetesChaosExperimentPhase,
  RunVerdict,
  TaskPhase,
  TaskVerdict,
} from './documents/status.ts'
import type { ErrorCode, Trouble } from './errors.ts'
import type { Plan } from './plan.ts'
import type { ProbeState, RunState, TaskState } from './state.ts'

export type TaskJudgement = {
  phase: TaskPhase
  verdict: TaskVerdict
  /** a number as text; empty until the task is done */
  probeSuccessPercentage: string
  errorCode: ErrorCode | ''
  /** `<code> : <reason>` */
  failStep: string
}

/** Passed probes of all, percent, rounded down; without probes `empty`. */
function percentage(probes: ProbeState[], empty: number): number {
  const judged = probes.filter((p) => p.mode !== 'AbortWhen')
  if (judged.length === 0) return empty
  return Math.floor((judged.filter((p) => p.verdict === 'Passed').length * 100) / judged.length)
}

const judgement = (
  phase: TaskPhase,
  verdict: TaskVerdict,
  detail: { percent?: number; trouble?: Trouble | undefined } = {},
): TaskJudgement => ({
  phase,
  verdict,
  probeSuccessPercentage: detail.percent === undefined ? '' : String(detail.percent),
  errorCode: detail.trouble?.code ?? '',
  failStep: detail.trouble ? `${detail.trouble.code} : ${detail.trouble.reason}` : '',
})

/** A task without an injection has shown nothing: never a Pass. */
function troubleOfTask(task: TaskState): Trouble | undefined {
  if (task.trouble) return task.trouble
  const owed = task.targets.find((t) => t.state === 'owed' || t.state === 'lost')
  if (owed)
    return {
      code: owed.state === 'owed' ? 'CHAOS_REVERT_ERROR' : 'CUT_SHORT',
      reason: `${owed.id} is ${owed.state}; see status.run.tasks of ${task.name}`,
    }
  if (task.injections > 0 || task.stopped) return undefined
  return {
    code: 'EFFECT_NOT_SEEN',
    reason: `${task.fault} ended without a single injection; see the log of ${task.name}`,
  }
}

/** What one task came to, by the rules of the engine that both dialects share. */
export function judgeTask(task: TaskState): TaskJudgement {
  if (task.stage !== 'done')
    return task.startedAt === undefined ? judgement('Pending', '') : judgement('Running', 'Awaited')
  if (task.skipped) return judgement('Skipped', 'N/A', { trouble: task.trouble })
  const trouble = troubleOfTask(task)
  const failed = task.probes.find((p) => p.verdict === 'Failed' && p.mode !== 'AbortWhen')
  const percent = percentage(task.probes, 0)
  if (task.stopped && (!trouble || trouble.code === 'EXPERIMENT_ABORTED'))
    return judgement('Stopped', 'Stopped', {
      percent,
      trouble: failed?.trouble ?? { code: 'EXPERIMENT_ABORTED', reason: task.stopped },
    })
  if (failed)
    return judgement('Completed_With_Probe_Failure', 'Fail', {
      percent,
      trouble: trouble ?? failed.trouble,
    })
  if (trouble) return judgement('Error', 'Error', { percent: 0, trouble })
  return judgement('Completed', 'Pass', { percent: percentage(task.probes, 100) })
}

export type Counters = {
  faultsPassed: number
  faultsFailed: number
  faultsAwaited: number
  faultsStopped: number
  faultsNA: number
  totalFaults: number
}

/** By verdict; an Error is in none of them, but in the total. */
export function countersOf(tasks: TaskJudgement[]): Counters {
  const count = (...verdicts: TaskVerdict[]): number =>
    tasks.filter((t) => verdicts.includes(t.verdict)).length
  return {
    faultsPassed: count('Pass'),
    faultsFailed: count('Fail'),
    faultsAwaited: count('Awaited'),
    faultsStopped: count('Stopped'),
    faultsNA: count('', 'N/A'),
    totalFaults: tasks.length,
  }
}

/** Sum of weight times probe success over the sum of weights, cut (not rounded) to two decimals; no result counts 0. */
export function scoreOf(tasks: { weight: number; probeSuccessPercentage: string }[]): number {
  const weights = tasks.reduce((sum, t) => sum + t.weight, 0)
  if (weights === 0) return 0
  const gained = tasks.reduce((sum, t) => sum + t.weight * Number(t.probeSuccessPercentage || 0), 0)
  return Math.trunc((gained * 100) / weights) / 100
}

export type RunJudgement = {
  phase: KubernetesChaosExperimentPhase | ChaosExperimentPhase
  verdict: RunVerdict | ''
  score: number
  probeSuccessPercentage: string
  counters: Counters
  /** `done/total` */
  progress: string
  message: string
  terminal: boolean
  tasks: (TaskJudgement & { name: string; fault: string })[]
}

/** What the whole run came to so far: the one place that knows phases and verdicts of both dialects. */
export function judgeRun(dialect: Plan['dialect'], run: RunState): RunJudgement {
  const tasks = run.tasks.map((t) => ({ name: t.name, fault: t.fault, ...judgeTask(t) }))
  const terminal = run.finishedAt !== undefined
  const verdict = verdictOf(run, tasks, terminal)
  const weighted = tasks.map((t, i) => ({ ...t, weight: run.tasks[i]?.weight ?? 10 }))
  const done = run.tasks.filter((t) => t.stage === 'done').length
  const phase =
    dialect === 'ChaosExperiment'
      ? chaosExperimentPhase(run, verdict, terminal)
      : kubernetesPhase(run, tasks, { verdict, terminal })
  return {
    phase,
    verdict,
    score: scoreOf(weighted),
    probeSuccessPercentage: terminal
      ? String(
          percentage(
            run.tasks.flatMap((t) => t.probes),
            verdict === 'Pass' ? 100 : 0,
          ),
        )
      : '',
    counters: countersOf(tasks),
    progress: `${done}/${run.tasks.length}`,
    message: messageOf(run, tasks, verdict),
    terminal,
    tasks,
  }
}

function verdictOf(run: RunState, tasks: TaskJudgement[], terminal: boolean): RunVerdict {
  if (run.refused) return 'Error'
  if (!terminal) return 'Awaited'
  const verdicts = tasks.map((t) => t.verdict)
  if (verdicts.includes('Error')) return 'Error'
  if (run.abort || run.stopped) return 'Stopped'
  if (verdicts.includes('Fail')) return 'Fail'
  return verdicts.every((v) => v === 'Pass') ? 'Pass' : 'Error'
}

function kubernetesPhase(
  run: RunState,
  tasks: TaskJudgement[],
  { verdict, terminal }: { verdict: RunVerdict; terminal: boolean },
): KubernetesChaosExperimentPhase {
  if (run.refused) return 'Failed'
  if (!terminal) return 'Running'
  if (verdict === 'Error')
    return tasks.some((t) => t.phase.startsWith('Completed')) ? 'Completed_With_Error' : 'Error'
  if (verdict === 'Stopped') return 'Stopped'
  return verdict === 'Fail' ? 'Completed_With_Probe_Failure' : 'Completed'
}

function chaosExperimentPhase(
  run: RunState,
  verdict: RunVerdict,
  terminal: boolean,
): ChaosExperimentPhase {
  if (run.refused) return 'Failed'
  if (terminal) {
    if (run.abort && verdict === 'Stopped') return 'Aborted'
    return verdict === 'Pass' ? 'Completed' : 'Failed'
  }
  const task = run.tasks.find((t) => t.stage !== 'done')
  if (!task || task.stage === 'pending') return 'Pending'
  if (task.stage === 'reverting') return 'Completing'
  if (task.stage === 'ramp-down' || task.stage === 'post-probes')
    return task.probes.some((p) => p.mode === 'EOT') ? 'Recovering' : 'Completing'
  const checking = task.stage !== 'chaos' && task.probes.some((p) => p.mode === 'SOT')
  return checking ? 'SteadyStateChecking' : 'Running'
}

function messageOf(
  run: RunState,
  tasks: (TaskJudgement & { name: string })[],
  verdict: RunVerdict,
): string {
  if (run.refused)
    return run.refused
      .map((r) => `${r.path}: ${r.reason}; ${r.suggestion}`)
      .join('\n')
      .slice(0, 4000)
  if (run.abort) return `aborted by ${run.abort.by}`
  const first = tasks.find((t) => t.failStep !== '')
  if (first) return `${first.name}: ${first.failStep}`.slice(0, 4000)
  if (verdict === 'Pass') return 'every probe passed and everything was put back'
  const open = run.tasks.filter((t) => t.startedAt !== undefined && t.stage !== 'done')
  return open.map((t) => `${t.name}: ${t.stage}`).join(', ')
}
