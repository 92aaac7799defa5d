import type { Plan, Selection, TaskPlan } from '../../model/plan.ts'
import type { ProbeState, RunState, Stage, TargetState, TaskState } from '../../model/state.ts'
import { isEnded, mayBeHeld } from './reduce.ts'

/** What the engine wants done now. The loop starts what is not running and ends what is no longer wanted. */
export type Action =
  | { do: 'prepare'; task: string; early: boolean }
  | { do: 'check'; task: string }
  | { do: 'probe'; task: string; probe: string; phase: 'pre' | 'post' }
  | { do: 'watch'; task: string; probe: string }
  /** keep the fault pods of the task there and listen to them */
  | { do: 'attend'; task: string }
  | { do: 'strike'; task: string; wave: number }
  /** nothing more of the wave is struck: what is under way comes to its end */
  | { do: 'spare'; task: string; wave: number }
  /** wait until what was struck is complete */
  | { do: 'settle'; task: string; wave: number }
  /** an API-level fault that is held: plan, record, act on the targets of a wave */
  | { do: 'inject'; task: string; wave: number }
  /** put one target of such a fault back and prove it, for as long as it takes */
  | { do: 'restore'; task: string; target: string }
  | { do: 'go'; task: string; wave: number }
  | { do: 'stop'; task: string; reason: string }
  | { do: 'close'; task: string }

/** A step of the state machine that needs nothing but the decision. */
export type Move = { task: string; to: Stage }
export type Decision = {
  moves: Move[]
  want: Action[]
  wakeAt: number | null
  /** every task has its outcome: the verdict stands */
  finished: boolean
  /** and no fault pod is left: the resource may be let go */
  cleared: boolean
}

/** What the engine must know of a fault, apart from its plan. */
export type FaultShape = {
  hands: 'kube' | 'node'
  lasts: 'instant' | 'while-held'
  /** start of wave n after the first, milliseconds; null: there is no such wave */
  waveOffset(task: TaskPlan, wave: number, seed: number): number | null
}
export type Situation = {
  plan: Plan
  state: RunState
  now: number
  shapeOf: (fault: string) => FaultShape
}

/** A hold that the node has not ended by then is asked after; milliseconds past the node's own deadline. */
const lateMs = 3000

/** Loops whose task is over are judged within this, milliseconds. */
const judgeMs = 10_000

const preModes = new Set(['SOT', 'Edge'])
const postModes = new Set(['EOT', 'Edge'])
const loopModes = new Set(['Continuous', 'OnChaos', 'AbortWhen'])
export const isPre = (p: ProbeState): boolean => preModes.has(p.mode)
export const isPost = (p: ProbeState): boolean => postModes.has(p.mode)
export const isLoop = (p: ProbeState): boolean => loopModes.has(p.mode)

export const key = (action: Action): string =>
  [
    action.do,
    action.task,
    'early' in action ? action.early : '',
    'probe' in action ? action.probe : '',
    'phase' in action ? action.phase : '',
    'wave' in action ? action.wave : '',
    'target' in action ? action.target : '',
  ].join('/')

type View = {
  plan: TaskPlan
  state: TaskState
  shape: FaultShape
  run: RunState
  now: number
  /** why the task must end now, or null */
  ending: string | null
}
type TaskDecision = { move?: Stage; want?: Action[]; wakeAt?: number }

/** What ends every task early: abort, a probe with stopOnFailure, something missing that all need. */
export function endingOf(run: RunState): string | null {
  if (run.abort) return `aborted by ${run.abort.by}`
  if (run.stopped) return 'a probe with stopOnFailure failed'
  if (run.broken) return 'the run cannot go on'
  return null
}

/** The whole engine: pure, and called after every fact and at every wakeAt. */
export function decide({ plan, state, now, shapeOf }: Situation): Decision {
  const decision: Decision = { moves: [], want: [], wakeAt: null, finished: false, cleared: false }
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

function add(into: Decision, task: string, { move, want, wakeAt }: TaskDecision): void {
  if (move) into.moves.push({ task, to: move })
  else if (want) into.want.push(...want)
  if (wakeAt !== undefined && !move)
    into.wakeAt = into.wakeAt === null ? wakeAt : Math.min(into.wakeAt, wakeAt)
}

const order: Stage[] = [
  'pending',
  'preparing',
  'pre-probes',
  'ramp-up',
  'chaos',
  'reverting',
  'ramp-down',
  'post-probes',
  'done',
]
const isPast = (task: TaskState, stage: Stage): boolean =>
  order.indexOf(task.stage) >= order.indexOf(stage)

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
      ...(v.state.prepared || v.state.trouble
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
    return { move: v.ending ? 'done' : 'preparing' }
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
  chaos: (v) =>
    v.shape.hands === 'node' ? nodeChaos(v) : isHeld(v) ? heldChaos(v) : struckChaos(v),
  reverting: (v) => reverting(v),
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

const decideTask = (view: View): TaskDecision => stageDecisions[view.state.stage](view)

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

const loops = (v: View, modes: string[]): Action[] =>
  v.state.probes
    .filter((p) => modes.includes(p.mode) && p.during === undefined)
    .map((p) => ({ do: 'watch', task: v.plan.name, probe: p.name }))

const attend = (v: View): Action[] =>
  v.shape.hands === 'node' && v.state.prepared && !v.state.closed
    ? [{ do: 'attend', task: v.plan.name }]
    : []

const allLoops = ['Continuous', 'OnChaos', 'AbortWhen']

/** An API-level fault that is injected once, held, and put back. */
const isHeld = (v: View): boolean => v.shape.hands === 'kube' && v.shape.lasts === 'while-held'

const restore =
  (v: View) =>
  ({ id }: TargetState): Action => ({ do: 'restore', task: v.plan.name, target: id })

/** The hold is over, or the effect has ended by itself: what is left of it is put back. */
const isDue = (target: TargetState, now: number): boolean =>
  target.state === 'lost' ||
  target.state === 'owed' ||
  (target.state === 'injected' && now >= (target.endsAt ?? 0))

function heldChaos(v: View): TaskDecision {
  if (v.ending) return { move: 'reverting' }
  const { targets, wave } = v.state
  const last = Math.max(0, ...targets.map((t) => t.wave))
  const held = targets.filter(mayBeHeld)
  const due = held.filter((t) => isDue(t, v.now))
  const want = [...loops(v, allLoops), ...due.map(restore(v))]
  const ends = held.flatMap((t) => (t.state === 'injected' ? (t.endsAt ?? v.now) : []))
  const wake = ends.length > 0 ? { wakeAt: Math.min(...ends) } : {}
  // A wave is injected when those before it are over; its own may still be under way after an adoption.
  const earlier = held.some((t) => t.wave < wave)
  const open = waiting(targets, wave).length > 0
  if (!earlier && wave <= last && !(v.state.trouble && open && held.length === 0))
    return { want: [...want, { do: 'inject', task: v.plan.name, wave }], ...wake }
  return held.length > 0 ? { want, ...wake } : { move: 'reverting' }
}

function struckChaos(v: View): TaskDecision {
  const start = v.state.chaosAt ?? v.now
  const end = start + v.plan.durationMs
  if (v.ending || v.state.trouble) return { move: 'reverting' }
  const offset = v.shape.waveOffset(v.plan, v.state.wave, v.run.seed)
  const due = offset === null || offset >= v.plan.durationMs ? null : start + offset
  const want: Action[] = [...loops(v, allLoops), ...settle(v)]
  if (due !== null && v.now >= due)
    return { want: [...want, { do: 'strike', task: v.plan.name, wave: v.state.wave }], wakeAt: end }
  // A strike that is due is done even when the machine was busy at the end of the duration.
  if (v.now >= end) return { move: 'reverting' }
  return { want, wakeAt: Math.min(end, due ?? end) }
}

/** One action for each wave that has been struck and is not complete. */
const settle = (v: View): Action[] =>
  [...new Set(v.state.targets.filter((t) => t.state === 'injected').map((t) => t.wave))].map(
    (wave): Action => ({ do: 'settle', task: v.plan.name, wave }),
  )

/** A strike that was cut off may have hit targets that nobody has heard of yet. */
const spare = (v: View): Action[] =>
  v.state.chaosAt !== undefined && waiting(v.state.targets, v.state.wave).length > 0
    ? [{ do: 'spare', task: v.plan.name, wave: v.state.wave }]
    : []

/** The targets of a wave that can still be hit. */
const waiting = (targets: TargetState[], wave: number): TargetState[] =>
  targets.filter((t) => t.wave === wave && t.state === 'targeted')

function nodeChaos(v: View): TaskDecision {
  if (v.ending) return { move: 'reverting' }
  const { targets, wave } = v.state
  const want: Action[] = [...attend(v), ...loops(v, allLoops)]
  const last = Math.max(0, ...targets.map((t) => t.wave))
  const open = targets.filter((t) => t.wave < wave && !isEnded(t))
  if (open.length > 0)
    return { want: [...want, ...overdue(v, open)], wakeAt: nextDeadline(v, open) }
  if (wave > last || (v.state.trouble && waiting(targets, wave).length > 0))
    return { move: 'reverting' }
  return { want: [...want, { do: 'go', task: v.plan.name, wave }] }
}

const overdue = (v: View, open: TargetState[]): Action[] =>
  open.some((t) => t.endsAt !== undefined && v.now > t.endsAt + lateMs)
    ? [{ do: 'stop', task: v.plan.name, reason: 'the deadline has passed' }]
    : []

function nextDeadline(v: View, open: TargetState[]): number {
  const ends = open.flatMap((t) => (t.endsAt === undefined ? [] : [t.endsAt + lateMs]))
  const ahead = ends.filter((at) => at > v.now)
  return ahead.length > 0 ? Math.min(...ahead) + 1 : v.now + lateMs
}

function reverting(v: View): TaskDecision {
  const { targets } = v.state
  if (isHeld(v)) {
    const want = targets.filter(mayBeHeld).map(restore(v))
    return want.length > 0 ? { want } : afterRevert(v)
  }
  if (v.shape.hands === 'kube') {
    const want = [...spare(v), ...settle(v)]
    return want.length > 0 ? { want } : afterRevert(v)
  }
  const begun = targets.filter((t) => t.wave < v.state.wave || t.state !== 'targeted')
  const open = begun.filter((t) => !isEnded(t))
  if (open.length > 0)
    return {
      want: [
        ...attend(v),
        { do: 'stop', task: v.plan.name, reason: v.ending ?? 'the task has ended' },
      ],
      wakeAt: v.now + 1000,
    }
  return afterRevert(v)
}

/** Probe loops are judged before anything else is evaluated after chaos; an early end judges nothing more. */
function afterRevert(v: View): TaskDecision {
  if (v.ending || v.state.trouble || v.state.chaosAt === undefined) return { move: 'done' }
  const unjudged = v.state.probes.some((p) => isLoop(p) && p.mode !== 'AbortWhen' && !p.during)
  if (!unjudged) return { move: 'ramp-down' }
  // A loop that nobody runs any more (its runner was replaced) is never judged; it says so then.
  const until = (v.state.stageAt ?? v.now) + judgeMs
  return v.now >= until ? { move: 'ramp-down' } : { wakeAt: until }
}
