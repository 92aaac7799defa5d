import type {
  ChaosExperimentPhase,
  KubernetesChaosExperimentPhase,
  RunVerdict,
  TaskPhase,
  TaskSummary,
  TaskVerdict,
} from './documents/status.ts'
import type { ErrorCode, Trouble } from './errors.ts'
import type { Plan } from './plan.ts'
import type { ProbeState, RunState, TaskState } from './state.ts'

/** What came of a task. `probeSuccessPercentage` is empty while nothing can be said. */
export type TaskJudgement = {
  phase: TaskPhase
  verdict: TaskVerdict
  probeSuccessPercentage: string
  errorCode: ErrorCode | ''
  failStep: string
}

/** Abort conditions end a run; they are no hypothesis and do not count as probes. */
const isHypothesis = (probe: ProbeState): boolean => probe.mode !== 'AbortWhen'

const outcomes = ({ pre, during, post }: ProbeState): (string | undefined)[] => [pre, during, post]

function percentage(probes: readonly ProbeState[], withoutProbes: number): string {
  if (probes.length === 0) return String(withoutProbes)
  const passed = probes.filter((p) => p.verdict === 'Passed').length
  return String(Math.floor((passed * 100) / probes.length))
}

const families: Readonly<Record<string, 'HTTP' | 'CMD' | 'K8S'>> = {
  httpProbe: 'HTTP',
  cmdProbe: 'CMD',
  k8sProbe: 'K8S',
}

function probeTrouble(probe: ProbeState, kind: 'FAILURE' | 'ERROR'): Trouble {
  const family = families[probe.type]
  const code: ErrorCode = family ? `${family}_PROBE_${kind}` : 'GENERIC_ERROR'
  return probe.trouble ?? { code, reason: `probe ${probe.name}: ${probe.description}` }
}

const failStep = ({ code, reason }: Trouble): string => `${code} : ${reason}`

const judged = (
  phase: TaskPhase,
  verdict: TaskVerdict,
  { percent, trouble }: { percent: string; trouble: Trouble | undefined },
): TaskJudgement => ({
  phase,
  verdict,
  probeSuccessPercentage: percent,
  errorCode: trouble?.code ?? '',
  failStep: trouble ? failStep(trouble) : '',
})

/** Whether the end of the run cut this task short: it had begun, and it was not over before. */
function cutBy(task: TaskState, run: RunState | undefined): Trouble | undefined {
  const abort = run?.abort
  if (abort && (task.finishedAt ?? abort.at) >= abort.at)
    return {
      code: 'EXPERIMENT_ABORTED',
      reason: `the experiment was aborted by ${abort.by}; what was injected has been put back`,
    }
  if (task.stopped !== undefined)
    return { code: 'EXPERIMENT_ABORTED', reason: `the task was ended early: ${task.stopped}` }
  return undefined
}

/** A target is not as it was, whether that is still tried or was given up. */
const isOwed = (task: TaskState): boolean =>
  task.targets.some((t) => t.state === 'owed' || t.state === 'abandoned')

function judgeDone(task: TaskState, run: RunState | undefined): TaskJudgement {
  const probes = task.probes.filter(isHypothesis)
  const failed = probes.find((p) => p.verdict === 'Failed')
  const broken = probes.find((p) => outcomes(p).includes('error'))
  const cut = cutBy(task, run)
  if (isOwed(task))
    return judged('Error', 'Error', {
      percent: '0',
      trouble: task.trouble ?? {
        code: 'CHAOS_REVERT_ERROR',
        reason: 'a target is not yet as it was; status.run has the commands that remain',
      },
    })
  // A failed hypothesis counts before an error, and what follows from the stop does not take its place.
  if (cut !== undefined && (run?.abort || failed || !task.trouble)) {
    const trouble = failed && !run?.abort ? probeTrouble(failed, 'FAILURE') : cut
    return judged('Stopped', 'Stopped', { percent: percentage(probes, 0), trouble })
  }
  if (failed)
    return judged('Completed_With_Probe_Failure', 'Fail', {
      percent: percentage(probes, 0),
      trouble: task.trouble ?? probeTrouble(failed, 'FAILURE'),
    })
  const trouble = task.trouble ?? (broken ? probeTrouble(broken, 'ERROR') : undefined)
  if (trouble) return judged('Error', 'Error', { percent: '0', trouble })
  const unjudged = probes.find((p) => p.verdict !== 'Passed')
  if (unjudged)
    return judged('Error', 'Error', {
      percent: '0',
      trouble: {
        code: 'PROBE_TIMEOUT',
        reason: `probe ${unjudged.name} was not evaluated before the task ended`,
      },
    })
  // whatever went unnoticed before: without an injection nothing was shown
  if (task.injections === 0)
    return judged('Error', 'Error', {
      percent: '0',
      trouble: {
        code: 'EFFECT_NOT_SEEN',
        reason: `${task.fault} ended without a single injection; see the log of ${task.name}`,
      },
    })
  return judged('Completed', 'Pass', { percent: percentage(probes, 100), trouble: undefined })
}

/** Phase and verdict of one task. With the run, an abort in mid-task is told from one that came later. */
export function judgeTask(task: TaskState, run?: RunState): TaskJudgement {
  const nothing = { percent: '', trouble: undefined }
  if (task.stage !== 'done') {
    if (task.startedAt === undefined) return judged('Pending', '', nothing)
    return judged('Running', 'Awaited', nothing)
  }
  if (task.startedAt === undefined) {
    const { errorCode, failStep: why } = judgeDone(task, undefined)
    if (task.trouble)
      return {
        ...judged('Error', 'Error', nothing),
        errorCode,
        failStep: why,
        probeSuccessPercentage: '0',
      }
    return judged('Skipped', 'N/A', nothing)
  }
  return judgeDone(task, run)
}

/** Weighted mean of probe success, truncated to two decimals; a task without a percentage counts 0 with its full weight. */
export function resiliencyScore(
  tasks: readonly { weight: number; probeSuccessPercentage: string }[],
): number {
  let [sum, all] = [0, 0]
  for (const { weight, probeSuccessPercentage } of tasks) {
    all += weight
    sum += weight * (Number(probeSuccessPercentage) || 0)
  }
  return all === 0 ? 0 : Math.trunc((sum * 100) / all) / 100
}

/** What came of a run so far. */
export type RunJudgement = {
  phase: KubernetesChaosExperimentPhase | ChaosExperimentPhase
  /** the same in the words of kserver's vocabulary, whatever the dialect */
  wirePhase: Exclude<KubernetesChaosExperimentPhase, 'Failed'>
  verdict: RunVerdict
  /** nothing more will change */
  terminal: boolean
  score: number
  probeSuccessPercentage: string
  progress: string
  message: string
  counters: {
    faultsPassed: number
    faultsFailed: number
    faultsAwaited: number
    faultsStopped: number
    faultsNA: number
    totalFaults: number
  }
  tasks: TaskSummary[]
}

type Outcome = { wirePhase: RunJudgement['wirePhase']; verdict: RunVerdict }

/** A run that was ended is Stopped; else an error counts before a failed probe, for it says that less is known. */
function outcomeOf(run: RunState, tasks: readonly TaskSummary[]): Outcome {
  if (run.refused) return { wirePhase: 'Error', verdict: 'Error' }
  if (run.finishedAt === undefined) return { wirePhase: 'Running', verdict: 'Awaited' }
  if (run.dryRun)
    return tasks.some((t) => t.verdict === 'Error')
      ? { wirePhase: 'Error', verdict: 'Error' }
      : { wirePhase: 'Completed', verdict: 'N/A' }
  const has = (verdict: TaskVerdict): boolean => tasks.some((t) => t.verdict === verdict)
  const owed = run.tasks.some(isOwed)
  if (has('Error') && (owed || !run.abort)) {
    const partly = !owed && (has('Pass') || has('Fail'))
    return { wirePhase: partly ? 'Completed_With_Error' : 'Error', verdict: 'Error' }
  }
  if (run.abort || run.stopped || has('Stopped'))
    return { wirePhase: 'Stopped', verdict: 'Stopped' }
  if (has('Fail')) return { wirePhase: 'Completed_With_Probe_Failure', verdict: 'Fail' }
  return has('Pass')
    ? { wirePhase: 'Completed', verdict: 'Pass' }
    : { wirePhase: 'Error', verdict: 'Error' }
}

const isBefore = (task: TaskState): boolean =>
  task.stage === 'pending' || task.stage === 'preparing' || task.stage === 'pre-probes'

function runningPhase(run: RunState): ChaosExperimentPhase {
  const task = run.tasks.find((t) => t.stage !== 'done') ?? run.tasks.at(-1)
  if (!task) return 'Pending'
  if (isBefore(task))
    return task.probes.some((p) => p.mode === 'SOT') ? 'SteadyStateChecking' : 'Pending'
  if (task.stage === 'ramp-up' || task.stage === 'chaos') return 'Running'
  const recovers = task.probes.some((p) => p.mode === 'EOT')
  const after = task.stage === 'ramp-down' || task.stage === 'post-probes'
  return after && recovers ? 'Recovering' : 'Completing'
}

function chaosExperimentPhase(run: RunState, verdict: RunVerdict): ChaosExperimentPhase {
  if (run.refused) return 'Failed'
  if (run.finishedAt === undefined) return runningPhase(run)
  if (verdict === 'Error' || verdict === 'Fail') return 'Failed'
  if (verdict === 'Pass' || verdict === 'N/A') return 'Completed'
  // An abort condition that asks for rollback ends the experiment as if its time were up.
  if (run.abort?.rollback) return 'Completed'
  return run.abort ? 'Aborted' : 'Failed'
}

function dryRunText({ tasks }: RunState): string {
  const targets = tasks.reduce((sum, t) => sum + t.targets.length, 0)
  return `dry run: ${targets} target${targets === 1 ? '' : 's'} would be hit at first; nothing was touched`
}

function messageOf(run: RunState, tasks: readonly TaskSummary[]): string {
  const first = run.refused?.[0]
  if (first) {
    const more = (run.refused?.length ?? 1) - 1
    const rest = more > 0 ? ` (and ${more} more)` : ''
    return `${first.path}: ${first.reason}; ${first.suggestion}${rest}`
  }
  if (run.abort) return `aborted by ${run.abort.by}`
  const worst = tasks.find((t) => t.verdict === 'Error') ?? tasks.find((t) => t.failStep !== '')
  if (run.dryRun && !worst) return dryRunText(run)
  return worst ? `${worst.name}: ${worst.failStep}` : ''
}

const summaryOf = (task: TaskState, run: RunState): TaskSummary => ({
  name: task.name,
  fault: task.fault,
  ...judgeTask(task, run),
})

function overallPercentage(run: RunState, verdict: RunVerdict): string {
  if (run.finishedAt === undefined) return ''
  const probes = run.tasks.flatMap((t) => t.probes.filter(isHypothesis))
  return percentage(probes, verdict === 'Pass' ? 100 : 0)
}

function countersOf(tasks: readonly TaskSummary[]): RunJudgement['counters'] {
  const count = (...verdicts: TaskVerdict[]): number =>
    tasks.filter((t) => verdicts.includes(t.verdict)).length
  return {
    faultsPassed: count('Pass'),
    faultsFailed: count('Fail'),
    faultsAwaited: count('Awaited'),
    faultsStopped: count('Stopped'),
    faultsNA: count('N/A', ''),
    totalFaults: tasks.length,
  }
}

/** Phase, verdict, score and counters of a run; pure, used by operator and runner alike. */
export function judgeRun(dialect: Plan['dialect'], run: RunState): RunJudgement {
  const tasks = run.tasks.map((task) => summaryOf(task, run))
  const { wirePhase, verdict } = outcomeOf(run, tasks)
  const own = run.refused ? 'Failed' : wirePhase
  const weighed = tasks.map(({ probeSuccessPercentage }, i) => ({
    weight: run.tasks[i]?.weight ?? 10,
    probeSuccessPercentage,
  }))
  return {
    phase: dialect === 'ChaosExperiment' ? chaosExperimentPhase(run, verdict) : own,
    wirePhase,
    verdict,
    terminal: run.finishedAt !== undefined || run.refused !== undefined,
    score: resiliencyScore(weighed),
    probeSuccessPercentage: overallPercentage(run, verdict),
    progress: `${run.tasks.filter((t) => t.stage === 'done').length}/${run.tasks.length}`,
    message: messageOf(run, tasks).slice(0, 4000),
    counters: countersOf(tasks),
    tasks,
  }
}
