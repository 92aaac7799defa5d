import type { Plan, TaskPlan } from '../../../model/plan.ts'
import type { ProbeState, RunState, Stage, TargetState, TaskState } from '../../../model/state.ts'

/** What the resource says about a run, whatever its kind. */
export type Seen = {
  kind: string
  namespace: string
  name: string
  phase: string
  verdict: string
  score: number | null
  /** verdict of each task by name, where there is one */
  verdicts: Record<string, string>
  /** null: the document was refused, or not compiled */
  plan: Plan | null
  run: RunState | null
}

/** All that the terminal shows of a run. */
export type View = {
  title: string
  runId: string
  phase: string
  verdict: string
  score: number | null
  elapsedMs: number | null
  /** estimate; null: not begun, ended, or ending early */
  leftMs: number | null
  ending: string | null
  refusals: string[]
  tasks: TaskView[]
}
export type TaskView = {
  name: string
  fault: string
  /** tasks of one step run side by side; from 1 */
  step: number
  stage: Stage
  verdict: string
  /** 0 to 1 of the chaos duration; null outside chaos */
  share: number | null
  leftMs: number | null
  injections: number
  probes: ProbeView[]
  targets: TargetView[]
  trouble: string | null
}
export type ProbeView = Pick<ProbeState, 'name' | 'type' | 'mode' | 'verdict' | 'description'>
export type TargetView = {
  /** one record of one pod: a name may come back */
  key: string
  id: string
  node: string
  state: TargetState['state']
  /** milliseconds of the run at which it was hit, and put back */
  hitMs: number | null
  backMs: number | null
  note: string
  remaining: string[]
}

/** The view of a resource at a moment (unix milliseconds). */
export function viewOf(seen: Seen, now: number): View {
  const { plan, run } = seen
  const end = run?.finishedAt ?? now
  return {
    title: `${seen.kind} ${seen.namespace}/${seen.name}`,
    runId: run?.runId ?? '',
    phase: seen.phase || 'not begun',
    verdict: seen.verdict,
    score: seen.score,
    elapsedMs: run ? Math.max(0, end - run.startedAt) : null,
    leftMs:
      plan && run && !run.finishedAt && !endingOf(run)
        ? leftOfRun(plan, run, run.paused?.since ?? now)
        : null,
    ending: run ? endingOf(run) : null,
    refusals: (run?.refused ?? []).map(
      ({ path, reason, suggestion }) => `${path}: ${reason} ${suggestion}`,
    ),
    tasks: taskViews(seen, now),
  }
}

function endingOf(run: RunState): string | null {
  if (run.abort) return `ended early by ${run.abort.by}`
  if (run.stopped) return 'a probe with stopOnFailure failed'
  return null
}

function taskViews(seen: Seen, now: number): TaskView[] {
  const { plan, run } = seen
  const states = new Map((run?.tasks ?? []).map((t) => [t.name, t]))
  const plans = new Map((plan?.tasks ?? []).map((t) => [t.name, t]))
  const steps = plan?.steps ?? (run ? [run.tasks.map((t) => t.name)] : [])
  return steps.flatMap((names, i) =>
    names.map((name) => {
      const about = { plan: plans.get(name), state: states.get(name), run, now }
      return { ...taskView(name, about), step: i + 1, verdict: seen.verdicts[name] ?? '' }
    }),
  )
}

type About = {
  plan: TaskPlan | undefined
  state: TaskState | undefined
  run: RunState | null
  now: number
}

function taskView(name: string, about: About): Omit<TaskView, 'step' | 'verdict'> {
  const { plan, state, run, now } = about
  const chaos = plan && state?.stage === 'chaos' ? chaosTime(plan, state, now) : null
  return {
    name,
    fault: plan?.faultWritten ?? state?.fault ?? '',
    stage: state?.stage ?? 'pending',
    share: chaos ? 1 - chaos.leftMs / Math.max(1, chaos.totalMs) : null,
    leftMs: chaos?.leftMs ?? null,
    injections: state?.injections ?? 0,
    probes: (state?.probes ?? []).map(({ name, type, mode, verdict, description }) => ({
      name,
      type,
      mode,
      verdict,
      description,
    })),
    targets: (state?.targets ?? []).map((t) => targetView(t, run?.startedAt ?? now)),
    trouble: state?.trouble ? `${state.trouble.code}: ${state.trouble.reason}` : null,
  }
}

function targetView(target: TargetState, runStart: number): TargetView {
  const since = (at: number | undefined): number | null =>
    at === undefined ? null : Math.max(0, at - runStart)
  return {
    key: `${target.uid}/${target.id}/${target.wave}`,
    id: target.id,
    node: target.node ?? '',
    state: target.state,
    hitMs: since(target.injectedAt),
    backMs: since(target.revertedAt),
    note: (target.state === 'reverted' ? target.proof : target.evidence) ?? '',
    remaining: target.remaining ?? [],
  }
}

/** Steps run one after another, the tasks of a step side by side. */
function leftOfRun(plan: Plan, run: RunState, now: number): number {
  const states = new Map(run.tasks.map((t) => [t.name, t]))
  const plans = new Map(plan.tasks.map((t) => [t.name, t]))
  return plan.steps.reduce((sum, names) => {
    const each = names.map((name) => {
      const task = plans.get(name)
      return task ? leftOfTask(task, states.get(name), now) : 0
    })
    return sum + Math.max(0, ...each)
  }, 0)
}

function leftOfTask(plan: TaskPlan, state: TaskState | undefined, now: number): number {
  const rampLeft = (): number => Math.max(0, (state?.stageAt ?? now) + plan.rampMs - now)
  const table: Record<Stage, () => number> = {
    pending: () => 2 * plan.rampMs + plan.durationMs,
    preparing: () => 2 * plan.rampMs + plan.durationMs,
    'pre-probes': () => 2 * plan.rampMs + plan.durationMs,
    'ramp-up': () => rampLeft() + plan.durationMs + plan.rampMs,
    chaos: () => (state ? chaosTime(plan, state, now).leftMs : plan.durationMs) + plan.rampMs,
    reverting: () => plan.rampMs,
    'ramp-down': rampLeft,
    'post-probes': () => 0,
    done: () => 0,
  }
  return table[state?.stage ?? 'pending']()
}

/** In series, every wave of a fault that is held lasts the full duration. */
function chaosTime(
  plan: TaskPlan,
  state: TaskState,
  now: number,
): { leftMs: number; totalMs: number } {
  const held = state.targets.filter((t) => t.endsAt !== undefined)
  const waves = held.length > 0 ? Math.max(...state.targets.map((t) => t.wave)) + 1 : 1
  const totalMs = waves * plan.durationMs
  const start = state.chaosAt ?? now
  return { leftMs: Math.min(totalMs, Math.max(0, start + totalMs - now)), totalMs }
}
