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

const isOwed = (task: TaskState): boolean => task.targets.some((t) => t.state === 'owed')

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
  if (cut !== undefined && (run?.abort || !task.trouble)) {
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

/** What a condition says; the writer adds when it changed. */
export type ConditionInput = {
  type: 'Progressing' | 'Available' | 'Degraded' | 'FieldsIgnored' | 'Stuck'
  status: 'True' | 'False'
  reason: string
  message: string
}

/** Status of a run, but for observedGeneration and the times of conditions. Times are unix milliseconds. */
export type RunJudgement = {
  phase: KubernetesChaosExperimentPhase | ChaosExperimentPhase
  /** the same in the words of kserver's vocabulary, whatever the dialect */
  wirePhase: Exclude<KubernetesChaosExperimentPhase, 'Failed'>
  verdict: RunVerdict
  finished: boolean
  resiliencyScore: number
  probeSuccessPercentage: string
  progress: string
  message: string
  startTime?: number
  endTime?: number
  recoveryStartTime?: number
  faultsPassed: number
  faultsFailed: number
  faultsAwaited: number
  faultsStopped: number
  faultsNA: number
  totalFaults: number
  tasks: TaskSummary[]
  affectedResources: string[]
  conditions: ConditionInput[]
}

type Outcome = { wirePhase: RunJudgement['wirePhase']; verdict: RunVerdict }

/** A run that was ended is Stopped; else an error counts before a failed probe, for it says that less is known. */
function outcomeOf(run: RunState, tasks: readonly TaskSummary[]): Outcome {
  if (run.refused) return { wirePhase: 'Error', verdict: 'Error' }
  if (run.finishedAt === undefined) return { wirePhase: 'Running', verdict: 'Awaited' }
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

/** An abort condition with the action rollback ends the experiment as if its time were up. */
function isRollback(plan: Plan | null, run: RunState): boolean {
  const actions = new Map(
    plan?.tasks.flatMap((t) =>
      t.probes.flatMap((p) => ('action' in p ? [[`abort condition ${p.name}`, p.action]] : [])),
    ) as [string, string][] | undefined,
  )
  return run.abort !== undefined && actions.get(run.abort.by) === 'rollback'
}

function chaosExperimentPhase(
  plan: Plan | null,
  run: RunState,
  verdict: RunVerdict,
): ChaosExperimentPhase {
  if (run.refused) return 'Failed'
  if (run.finishedAt === undefined) return runningPhase(run)
  if (verdict === 'Error' || verdict === 'Fail') return 'Failed'
  if (verdict === 'Pass') return 'Completed'
  if (isRollback(plan, run)) return 'Completed'
  return run.abort ? 'Aborted' : 'Failed'
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
  return worst ? `${worst.name}: ${worst.failStep}` : ''
}

function remainsOf(run: RunState): string[] {
  return run.tasks.flatMap((task) =>
    task.targets
      .filter((t) => t.state === 'owed')
      .map((t) => `${t.id}: ${(t.remaining ?? []).join('; ') || 'retried until it succeeds'}`),
  )
}

type Progress = [
  ConditionInput['status'],
  ConditionInput['status'],
  ConditionInput['status'],
  string,
]

/** Progressing, Available, Degraded and their common reason. */
function progressOf(phase: RunJudgement['phase'], verdict: RunVerdict): Progress {
  switch (phase) {
    case 'Pending':
      return ['True', 'False', 'False', 'ExperimentAccepted']
    case 'SteadyStateChecking':
      return ['True', 'False', 'False', 'SteadyStateChecking']
    case 'Running':
      return ['True', 'False', 'False', 'ExperimentStarted']
    case 'Completing':
      return ['True', 'False', 'False', 'ExperimentCompleting']
    case 'Recovering':
      return ['True', 'False', 'False', 'Recovering']
    case 'Completed':
      return ['False', 'True', 'False', 'ExperimentCompleted']
    case 'Stopped':
    case 'Aborted':
      return ['False', 'False', 'False', 'ExperimentAborted']
    default:
      return ['False', 'False', 'True', verdict === 'Fail' ? 'ProbeFailed' : 'ExperimentFailed']
  }
}

function conditionsOf(
  run: RunState,
  phase: RunJudgement['phase'],
  { verdict, message }: { verdict: RunVerdict; message: string },
): ConditionInput[] {
  const [progressing, available, degraded, reason] = progressOf(phase, verdict)
  const text = message || `the experiment is ${phase}`
  const conditions: ConditionInput[] = [
    { type: 'Progressing', status: progressing, reason, message: text },
    { type: 'Available', status: available, reason, message: text },
    { type: 'Degraded', status: degraded, reason, message: text },
  ]
  if (run.notes.length > 0)
    conditions.push({
      type: 'FieldsIgnored',
      status: 'True',
      reason: 'NotUsed',
      message: run.notes.join(' '),
    })
  const remains = remainsOf(run)
  if (remains.length > 0)
    conditions.push({
      type: 'Stuck',
      status: 'True',
      reason: 'RevertOwed',
      message: remains.join('\n').slice(0, 30_000),
    })
  return conditions
}

const summaryOf = (task: TaskState, run: RunState): TaskSummary => ({
  name: task.name,
  fault: task.fault,
  ...judgeTask(task, run),
})

const touched = new Set(['injected', 'reverted', 'lost', 'owed'])

function affected(run: RunState): string[] {
  const all = run.tasks.flatMap((task) =>
    task.targets.filter((t) => touched.has(t.state)).map((t) => `Pod/${t.namespace}/${t.pod}`),
  )
  return [...new Set(all)].slice(0, 200)
}

function timesOf(
  dialect: Plan['dialect'],
  run: RunState,
  phase: string,
): Pick<RunJudgement, 'startTime' | 'endTime' | 'recoveryStartTime'> {
  const first = <T>(pick: (t: TaskState) => T | undefined): T | undefined =>
    run.tasks.map(pick).find((at) => at !== undefined)
  const startTime = dialect === 'ChaosExperiment' ? first((t) => t.chaosAt) : run.startedAt
  const recovers = run.tasks.some((t) => t.probes.some((p) => p.mode === 'EOT'))
  const over = run.finishedAt !== undefined || phase === 'Recovering'
  const recovery = recovers && over ? first((t) => t.chaosEndedAt) : undefined
  return {
    ...(startTime === undefined ? {} : { startTime }),
    ...(run.finishedAt === undefined ? {} : { endTime: run.finishedAt }),
    ...(recovery === undefined ? {} : { recoveryStartTime: recovery }),
  }
}

function overallPercentage(run: RunState, verdict: RunVerdict): string {
  if (run.finishedAt === undefined) return ''
  const probes = run.tasks.flatMap((t) => t.probes.filter(isHypothesis))
  return percentage(probes, verdict === 'Pass' ? 100 : 0)
}

/** Everything that status says about a run beside the run itself; pure, used by operator and runner alike. */
export function judgeRun(dialect: Plan['dialect'], plan: Plan | null, run: RunState): RunJudgement {
  const tasks = run.tasks.map((task) => summaryOf(task, run))
  const { wirePhase, verdict } = outcomeOf(run, tasks)
  const count = (...verdicts: TaskVerdict[]): number =>
    tasks.filter((t) => verdicts.includes(t.verdict)).length
  const own = run.refused ? 'Failed' : wirePhase
  const phase = dialect === 'ChaosExperiment' ? chaosExperimentPhase(plan, run, verdict) : own
  const message = messageOf(run, tasks).slice(0, 4000)
  const done = run.tasks.filter((t) => t.stage === 'done').length
  return {
    phase,
    wirePhase,
    verdict,
    finished: run.finishedAt !== undefined || run.refused !== undefined,
    resiliencyScore: resiliencyScore(
      tasks.map(({ probeSuccessPercentage }, i) => ({
        weight: run.tasks[i]?.weight ?? 10,
        probeSuccessPercentage,
      })),
    ),
    probeSuccessPercentage: overallPercentage(run, verdict),
    progress: `${done}/${run.tasks.length}`,
    message,
    ...timesOf(dialect, run, phase),
    faultsPassed: count('Pass'),
    faultsFailed: count('Fail'),
    faultsAwaited: count('Awaited'),
    faultsStopped: count('Stopped'),
    faultsNA: count('N/A', ''),
    totalFaults: tasks.length,
    tasks,
    affectedResources: affected(run),
    conditions: conditionsOf(run, phase, { verdict, message }),
  }
}
