import type { Plan, Selection } from '../../model/plan.ts'
import type { ProbeState, RunState, Stage, TargetState, TaskState } from '../../model/state.ts'
import type { Action } from './action.ts'
import { held } from './held.ts'
import { onNodes } from './on-nodes.ts'
import { isResting } from './pause.ts'
import { struck } from './struck.ts'
import {
  attend,
  type Chaos,
  type FaultShape,
  hasPods,
  isPast,
  loops,
  type TaskDecision,
  type View,
} from './view.ts'

/** A step of the state machine that needs nothing but the decision. */
export type Move = { task: string; to: Stage }
export type Decision = {
  moves: Move[]
  joins: { task: string; targets: TargetState[] }[]
  want: Action[]
  wakeAt: number | null
  /** every task has its outcome: the verdict stands */
  finished: boolean
  /** and no fault pod is left: the resource may be let go */
  cleared: boolean
}

export type Situation = {
  plan: Plan
  state: RunState
  now: number
  shapeOf: (fault: string) => FaultShape
}

const preModes = new Set(['SOT', 'Edge'])
const postModes = new Set(['EOT', 'Edge'])
export const isPre = (p: ProbeState): boolean => preModes.has(p.mode)
export const isPost = (p: ProbeState): boolean => postModes.has(p.mode)

/** What ends every task early: abort, a probe with stopOnFailure, something missing that all need. */
export function endingOf(run: RunState): string | null {
  if (run.abort) return `aborted by ${run.abort.by}`
  if (run.stopped) return 'a probe with stopOnFailure failed'
  if (run.broken) return 'the run cannot go on'
  return null
}

/** The whole engine: pure, and called after every fact and at every wakeAt. */
export function decide({ plan, state, now, shapeOf }: Situation): Decision {
  const decision: Decision = {
    moves: [],
    joins: [],
    want: [],
    wakeAt: null,
    finished: false,
    cleared: false,
  }
  const ending = endingOf(state)
  const states = new Map(state.tasks.map((t) => [t.name, t]))
  const plans = new Map(plan.tasks.map((t) => [t.name, t]))
  let reached = true
  let current: View[] = []
  for (const step of plan.steps) {
    const views = step.flatMap((name): View[] => {
      const [task, taskState] = [plans.get(name), states.get(name)]
      return task && taskState
        ? [{ plan: task, state: taskState, shape: shapeOf(task.fault), run: state, now, ending }]
        : []
    })
    if (!reached) {
      decision.want.push(...earlyWants(views, current))
      break
    }
    current = views
    for (const view of views) add(decision, view.plan.name, decideTask(view))
    reached = views.every((v) => v.state.stage === 'done')
    // The next step is armed while this one holds, so that it can start at once.
    if (!reached && views.every(hasHit) && !ending) {
      reached = false
      continue
    }
    if (!reached) break
  }
  decision.finished = state.tasks.every((t) => t.stage === 'done')
  decision.cleared = decision.finished && state.tasks.every((t) => t.closed || t.pods.length === 0)
  decision.want.push(
    ...state.tasks.filter(isOver).map((t): Action => ({ do: 'close', task: t.name })),
  )
  return decision
}

/** Its fault pods have nothing left to do; they go while the run goes on. */
const isOver = (task: TaskState): boolean =>
  isPast(task, 'ramp-down') && task.pods.length > 0 && !task.closed

function add(into: Decision, task: string, { move, joins, want, wakeAt }: TaskDecision): void {
  if (move) into.moves.push({ task, to: move })
  else if (joins) into.joins.push({ task, targets: joins })
  else if (want) into.want.push(...want)
  if (wakeAt !== undefined && !move && !joins)
    into.wakeAt = into.wakeAt === null ? wakeAt : Math.min(into.wakeAt, wakeAt)
}

/** Before the first hit of this step nothing else may compete for the node. */
const hasHit = (v: View): boolean => isPast(v.state, 'chaos') && v.state.injections > 0

/** Pods that the running step still replaces are not chosen beforehand: they would be gone when their turn comes. */
const earlyWants = (views: View[], current: View[]): Action[] =>
  views
    .filter((v) => v.shape.hands === 'node' && v.state.stage === 'pending')
    .filter(
      (v) =>
        !current.some(
          (c) => c.shape.lasts === 'instant' && mayShare(c.plan.selection, v.plan.selection),
        ),
    )
    .flatMap((v) => [
      ...(v.state.prepared || v.state.trouble || v.run.paused
        ? []
        : [{ do: 'prepare' as const, task: v.plan.name, early: true }]),
      ...attend(v),
    ])

/** Whether two selections may hold the same pod: no, when they name different workloads of one kind. */
function mayShare(a: Selection, b: Selection): boolean {
  if (a.pods.length > 0 || b.pods.length > 0) return true
  return a.workloads.some((x) =>
    b.workloads.some((y) => {
      if (x.namespace !== y.namespace) return false
      const named = x.kind === y.kind && x.names.length > 0 && y.names.length > 0
      return !named || x.names.some((name) => y.names.includes(name))
    }),
  )
}

const stageDecisions: { [K in Stage]: (v: View) => TaskDecision } = {
  pending: (v) => {
    if (!v.ending) return { move: 'preparing' }
    return { move: v.run.adoptions > 0 && hasPods(v.state) ? 'reverting' : 'done' }
  },
  preparing: (v) =>
    early(v) ??
    (v.state.prepared
      ? { move: 'pre-probes' }
      : {
          want: [
            { do: 'prepare', task: v.plan.name, early: false },
            ...preProbes(v),
            ...loops(v, ['Continuous']),
          ],
        }),
  'pre-probes': (v) => {
    const want = [...attend(v), ...preProbes(v), ...loops(v, ['Continuous'])]
    return early(v) ?? (preProbes(v).length > 0 ? { want } : { move: 'ramp-up' })
  },
  'ramp-up': (v) =>
    early(v) ?? wait(v, v.plan.rampMs, 'chaos', [...attend(v), ...loops(v, ['Continuous'])]),
  chaos: (v) => chaosOf(v.shape).chaos(v),
  reverting: (v) => chaosOf(v.shape).reverting(v),
  'ramp-down': (v) =>
    v.ending || v.state.trouble ? { move: 'done' } : wait(v, v.plan.rampMs, 'post-probes', []),
  'post-probes': (v) => {
    if (v.ending || v.state.trouble) return { move: 'done' }
    const want: Action[] = v.state.probes
      .filter((p) => isPost(p) && p.post === undefined && p.pre !== 'failed')
      .map((p) => ({ do: 'probe', task: v.plan.name, probe: p.name, phase: 'post' }))
    if (v.plan.healthCheck && !v.state.checked) want.push({ do: 'check', task: v.plan.name })
    return want.length > 0 ? { want } : { move: 'done' }
  },
  done: () => ({}),
}

const chaosOf = ({ hands, lasts }: FaultShape): Chaos =>
  hands === 'node' ? onNodes : lasts === 'instant' ? struck : held

const decideTask = (view: View): TaskDecision =>
  isResting(view.run, view.state) && !view.ending
    ? resting(view)
    : stageDecisions[view.state.stage](view)

/** Nothing is begun while a run is paused; what was begun is put back. */
const resting = (v: View): TaskDecision =>
  v.state.stage === 'chaos' ? chaosOf(v.shape).resting(v) : { want: attend(v) }

/** Leaves the stages before chaos when there will be none. */
function early(v: View): TaskDecision | null {
  const failed = v.state.probes.find((p) => p.pre === 'error')
  return v.ending || v.state.trouble || failed ? { move: 'reverting' } : null
}

function wait(v: View, ms: number, next: Stage, want: Action[]): TaskDecision {
  const until = (v.state.stageAt ?? v.now) + ms
  return v.now >= until ? { move: next } : { want, wakeAt: until }
}

const preProbes = (v: View): Action[] =>
  v.state.probes
    .filter((p) => isPre(p) && p.pre === undefined)
    .map((p) => ({ do: 'probe', task: v.plan.name, probe: p.name, phase: 'pre' }))
