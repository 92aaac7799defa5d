import { giveUpOwed } from '../../model/abandon.ts'
import type { Trouble } from '../../model/errors.ts'
import { withoutAttempt } from '../../model/fault-pod-recovery.ts'
import { short, withNotes } from '../../model/snapshot.ts'
import {
  isEnded,
  mayContinue,
  type ProbeState,
  type RunState,
  recordKey,
  type TargetState,
  type TaskState,
} from '../../model/state.ts'
import type { Fact } from './fact.ts'
import { paused, ranOn, resumed } from './pause.ts'

const maxTargets = 200
const brief = (trouble: Trouble): Trouble => ({ ...trouble, reason: short(trouble.reason, 2000) })

type TaskFact = Extract<Fact, { task: string }>
type Fold<F extends TaskFact> = (task: TaskState, fact: F) => TaskState
type Folds = { [K in TaskFact['fact']]: Fold<Extract<TaskFact, { fact: K }>> }

/** A record that is still owed is never the one that is dropped, and what is dropped is counted. */
function bounded(targets: TargetState[], before = 0): Pick<TaskState, 'targets' | 'dropped'> {
  const over = targets.length - maxTargets
  if (over <= 0) return { targets }
  const isDone = (t: TargetState) => isEnded(t) && !mayContinue(t, { targets })
  const open = targets.filter((t) => !isDone(t))
  const ended = targets.filter(isDone).slice(over)
  return { targets: [...ended, ...open], dropped: before + over }
}

/** Something was or may have been done to the target through the API, and it is not yet proven to be undone. */
export const mayBeHeld = (target: TargetState): boolean =>
  !isEnded(target) && (target.state !== 'targeted' || target.undo !== undefined)

/** Nothing is known to have been done to it: what is heard later of an effect counts. */
const isFresh = (target: TargetState | undefined): boolean =>
  target?.state === 'targeted' || target?.state === 'untouched'

/** Nobody could tell whether it was hit: its node may still say that it was not. */
const isUnsure = (target: TargetState | undefined): boolean =>
  target?.state === 'owed' && target.injectedAt === undefined

/** The runner has given up what did not start; nobody has said that it was hit, or for how long it may have been. */
const isGivenUp = (target: TargetState | undefined): boolean =>
  target?.state === 'failed' &&
  target.heldMs === undefined &&
  target.injectedAt === undefined &&
  target.outcome === undefined

/** Which record a fact is about. */
type Which = { target: string; wave?: number }

/** Without a wave the newest of its key. */
const isOf =
  ({ target, wave }: Which) =>
  (one: TargetState): boolean =>
    recordKey(one) === target && (wave === undefined || one.wave === wave)

const onTarget = (
  task: TaskState,
  which: Which,
  change: (target: TargetState) => TargetState,
): TaskState => {
  const at = task.targets.findLastIndex(isOf(which))
  if (at < 0) return task
  return { ...task, targets: task.targets.map((t, i) => (i === at ? change(t) : t)) }
}

/** What is proven to be undone needs no record of how to undo it, nor commands for a human. */
const withoutUndo = ({ undo: _, remaining: __, ...rest }: TargetState): TargetState => rest

const commands = (remaining: string[]): string[] =>
  remaining.slice(0, 20).map((command) => short(command, 1000))

/** The first trouble is the cause; later ones are its consequences. */
const withTrouble = (task: TaskState, trouble: Trouble): TaskState =>
  task.trouble ? task : { ...task, trouble: brief(trouble) }

const onProbe = (
  task: TaskState,
  name: string,
  change: (probe: ProbeState) => ProbeState,
): TaskState => ({ ...task, probes: task.probes.map((p) => (p.name === name ? change(p) : p)) })

/** Passed once all phases that its mode asks for have passed; the first failure or error is final. */
export function probeVerdict(probe: ProbeState): ProbeState['verdict'] {
  const outcomes = [probe.pre, probe.during, probe.post]
  if (outcomes.includes('failed')) return 'Failed'
  if (outcomes.includes('error')) return 'N/A'
  const needed = {
    SOT: [probe.pre],
    EOT: [probe.post],
    Edge: [probe.pre, probe.post],
    Continuous: [probe.during],
    OnChaos: [probe.during],
  }[probe.mode as 'SOT']
  return (needed ?? [probe.during]).every((o) => o === 'passed') ? 'Passed' : 'Awaited'
}

const cutShort = (target: string, reason: string): Trouble => ({
  code: 'CUT_SHORT',
  target,
  reason: `the fault was cut short on ${target}: ${reason}`,
})

/** A target that came later may have gone again before it was hit: that is no trouble of a dynamic task. */
function unlessMissed(task: TaskState, record: string, trouble: Trouble): TaskState {
  const late = task.targets.some((t) => recordKey(t) === record && t.holdMs !== undefined)
  const missed = task.dynamic && late && trouble.code === 'TARGET_SELECTION_ERROR'
  return missed ? task : withTrouble(task, trouble)
}

/** The effect ended with the target; for how long it was held is not known. */
function goneUnheard(task: TaskState, fact: Extract<Fact, { fact: 'inject-failed' }>): TaskState {
  const { target, trouble, at } = fact
  const ended = onTarget(task, fact, (t) => ({
    ...withoutUndo(t),
    state: 'reverted',
    cut: true,
    revertedAt: at,
    proof: short(trouble.reason, 500),
    outcome: 'noLongerExists',
  }))
  return task.dynamic ? ended : withTrouble(ended, cutShort(target, trouble.reason))
}

/** At the end of a dynamic task: whose effect had ended early although it is still there. */
function endCut(task: TaskState): TaskState {
  const isLast = (t: TargetState) =>
    !task.targets.some((o) => o.id === t.id && (o.round ?? 0) > (t.round ?? 0))
  const cut = task.targets.find((t) => t.cut && t.outcome !== 'noLongerExists' && isLast(t))
  if (!task.dynamic || !cut) return task
  return withTrouble(task, cutShort(recordKey(cut), 'it was still there when the hold ended'))
}

const folds: Folds = {
  moved: (task, { to, at }) => ({
    ...(to === 'reverting' ? endCut(task) : task),
    stage: to,
    stageAt: at,
    ...(task.startedAt === undefined && to !== 'done' ? { startedAt: at } : {}),
    ...(to === 'chaos' && task.chaosAt === undefined ? { chaosAt: at } : {}),
    ...(to === 'reverting' && task.chaosAt !== undefined && task.chaosEndedAt === undefined
      ? { chaosEndedAt: at }
      : {}),
    ...(to === 'done' ? done(task, at) : {}),
  }),
  prepared: (task, { targets }) =>
    task.prepared ? task : { ...task, prepared: true, ...bounded(targets) },
  'prepare-failed': (task, { trouble }) => withTrouble(task, trouble),
  probed: (task, fact) =>
    onProbe(task, fact.probe, (probe) => {
      if (probe[fact.phase] !== undefined) return probe
      const next: ProbeState = {
        ...probe,
        evaluations: probe.evaluations + fact.evaluations,
        description: short(fact.detail, 1000),
        ...(fact.final ? { [fact.phase]: fact.outcome } : {}),
        ...(fact.trouble ? { trouble: brief(fact.trouble) } : {}),
      }
      return { ...next, verdict: probeVerdict(next) }
    }),
  stopped: (task, { probe }) => ({
    ...task,
    stopped: task.stopped ?? short(`probe ${probe} failed and has stopOnFailure`, 500),
  }),
  checked: (task) => ({ ...task, checked: true }),
  'pod-created': (task, { pod }) =>
    task.pods.includes(pod) ? task : { ...task, pods: [...othersThan(task.pods, pod), pod] },
  closed: (task) => ({ ...task, pods: [], closed: true }),
  targeted: (task, { wave, targets }) =>
    task.targets.some((t) => t.wave === wave)
      ? task
      : { ...task, ...bounded([...task.targets, ...targets], task.dropped) },
  joined: (task, { targets }) => {
    const known = new Set(task.targets.map(recordKey))
    const fresh = targets.filter((t) => !known.has(recordKey(t)))
    return { ...task, ...bounded([...task.targets, ...fresh], task.dropped) }
  },
  capped: (task, { why }) => ({ ...task, capped: short(why, 500) }),
  planned: (task, fact) =>
    onTarget(task, fact, (t) =>
      t.state === 'targeted' && t.undo === undefined
        ? { ...t, undo: fact.undo, plannedAt: fact.at }
        : t,
    ),
  'wave-sent': (task, { wave }) => ({ ...task, wave: Math.max(task.wave, wave + 1) }),
  armed: (task) => task,
  injected: (task, fact) => {
    const { evidence, endsAt, at } = fact
    const known = task.targets.findLast(isOf(fact))
    const isOwed = isUnsure(known)
    if (!isFresh(known) && !isGivenUp(known) && !isOwed) return task
    return onTarget({ ...task, injections: task.injections + 1 }, fact, (t) => ({
      ...t,
      // Nobody could tell whether it was hit: that it was does not make it less owed.
      state: isOwed ? 'owed' : 'injected',
      injectedAt: at,
      evidence: short(evidence, 500),
      ...(endsAt ? { endsAt: Math.round(endsAt) } : {}),
    }))
  },
  'inject-failed': (task, fact) => {
    const { target, trouble, outcome, heldMs } = fact
    // A node that lost its last words to a power cut does not know any more that it had injected.
    const heard = task.targets.findLast(isOf(fact))?.state === 'injected'
    if (heard && outcome) return goneUnheard(task, fact)
    return unlessMissed(
      onTarget(task, fact, (t) =>
        isEnded(t) && !isFresh(t)
          ? t
          : {
              ...withoutUndo(t),
              state: 'failed',
              ...(outcome ? { outcome } : {}),
              ...(heldMs === undefined ? {} : { heldMs }),
            },
      ),
      target,
      trouble,
    )
  },
  gone: (task, fact) =>
    onTarget(task, fact, (t) => (t.cut && isEnded(t) ? { ...t, outcome: 'noLongerExists' } : t)),
  lost: (task, fact) => {
    const { target, reason, heldMs } = fact
    const lost = onTarget(task, fact, (t) =>
      isEnded(t) ? t : { ...t, state: 'lost', cut: true, heldMs: Math.max(0, Math.round(heldMs)) },
    )
    // Of a dynamic task that is known at its end: a target that is no longer there was not cut short.
    return task.dynamic ? lost : withTrouble(lost, cutShort(target, reason))
  },
  reverted: (task, fact) =>
    onTarget(task, fact, (t) => {
      const { proof, heldMs, untouched, at, outcome } = fact
      if (untouched && !isUnsure(t)) return isFresh(t) ? { ...t, state: 'untouched' } : t
      if (isEnded(t) && !isFresh(t)) return t
      return {
        ...withoutUndo(t),
        state: 'reverted',
        revertedAt: at,
        proof: short(proof, 500),
        outcome: outcome ?? 'restored',
        ...(t.heldMs === undefined && heldMs !== undefined
          ? { heldMs: Math.max(0, Math.round(heldMs)) }
          : {}),
      }
    }),
  'revert-failed': (task, fact) =>
    withTrouble(
      onTarget(task, fact, (t) =>
        isEnded(t) ? t : { ...t, state: 'owed', remaining: commands(fact.remaining) },
      ),
      fact.trouble,
    ),
  failed: (task, { trouble }) => withTrouble(task, trouble),
  acknowledged: (task, { node, seq }) => ({
    ...task,
    acknowledged: {
      ...task.acknowledged,
      [node]: Math.max(task.acknowledged[node] ?? 0, seq),
    },
  }),
  said: (task) => task,
}

/** Of each node the newest fault pod is on record: there may be any number of them. */
const othersThan = (names: string[], pod: string): string[] =>
  names.filter((name) => withoutAttempt(name) !== withoutAttempt(pod))

/** A probe that was never judged says so, as does a target whose turn never came; a task that never began is skipped. */
function done(task: TaskState, at: number): Partial<TaskState> {
  const probes = task.probes.map((p) =>
    p.verdict === 'Awaited'
      ? {
          ...p,
          verdict: 'N/A' as const,
          description: p.description || 'Either probe is not executed or not evaluated',
        }
      : p,
  )
  return {
    finishedAt: at,
    probes,
    targets: task.targets.map(spared),
    ...(task.startedAt === undefined ? { skipped: true } : {}),
  }
}

/** What is still only recorded when its task ends was never touched. */
export const spared = (target: TargetState): TargetState =>
  target.state === 'targeted' && target.undo === undefined
    ? { ...target, state: 'untouched' }
    : target

/** Tasks that are under way are cut off; those that are done keep their outcome. */
const cutOff = (tasks: TaskState[], why: string): TaskState[] =>
  tasks.map((t) =>
    t.startedAt !== undefined && t.stage !== 'done' && !t.stopped ? { ...t, stopped: why } : t,
  )

const aborted = (
  state: RunState,
  { by, at, rollback }: Extract<Fact, { fact: 'aborted' }>,
): RunState => ({
  ...ranOn(state, at),
  abort: { by, at, ...(rollback ? { rollback } : {}) },
  tasks: cutOff(state.tasks, `aborted by ${by}`),
})

const cannotGoOn = ({ task, trouble }: { task: string; trouble: Trouble }): string =>
  short(`the run cannot go on: ${task}: ${trouble.reason}`, 500)

/** Whose trouble it is when a run cannot go on: that of the tasks under way, else of the next one. */
export function underWay({ tasks }: RunState): TaskState[] {
  const open = tasks.filter((t) => t.stage !== 'done')
  const begun = open.filter((t) => t.startedAt !== undefined)
  return begun.length > 0 ? begun : open.slice(0, 1)
}

/** Nothing more is begun; what was begun is put back. */
function brokenBy(state: RunState, trouble: Trouble): RunState {
  const concerned = underWay(state)
  return {
    ...state,
    broken: true,
    tasks: state.tasks.map((t) => (concerned.includes(t) ? withTrouble(t, trouble) : t)),
  }
}

/** What cannot be recorded is not begun. */
const unrecorded = (state: RunState, why: string): RunState =>
  brokenBy(state, {
    code: 'CHAOS_RESULT_CRUD_ERROR',
    reason: `the API server does not take the record of the run, so it was ended: ${why}`,
  })

/** What was to be done is not known any more. */
const edited = (state: RunState, reason: string): RunState => ({
  ...brokenBy(state, { code: 'GENERIC_ERROR', reason }),
  edited: true,
})

const fold = (task: TaskState, fact: TaskFact): TaskState =>
  (folds[fact.fact] as Fold<TaskFact>)(task, fact)

/** What is still heard of a task that is done: it adds to the record of its targets and fault pods. */
const afterEnd = new Set<Fact['fact']>([
  'injected',
  'inject-failed',
  'lost',
  'reverted',
  'revert-failed',
  'pod-created',
  'acknowledged',
  'closed',
])

/** The outcome of a task that is done stands: an event that comes late, or a probe that is cut off then, changes no verdict. */
function foldTask(task: TaskState, fact: TaskFact): TaskState {
  if (task.stage !== 'done') return fold(task, fact)
  if (!afterEnd.has(fact.fact)) return task
  const { trouble: _, ...after } = fold(task, fact)
  return task.trouble ? { ...after, trouble: task.trouble } : after
}

/** `state = reduce(state, fact)`: pure, idempotent for repeated facts. */
export function reduce(state: RunState, fact: Fact): RunState {
  switch (fact.fact) {
    case 'aborted':
      return state.abort || state.finishedAt
        ? state
        : aborted(state, { ...fact, by: short(fact.by, 200) })
    case 'paused':
      return paused(state, fact)
    case 'resumed':
      return resumed(state, fact.at)
    case 'adopted':
      return {
        ...state,
        runner: fact.runner,
        instance: fact.instance,
        adoptions: state.adoptions + 1,
      }
    case 'resolved':
      return {
        ...state,
        notifyId: state.notifyId || fact.notifyId,
        notes: withNotes(state.notes, fact.notes),
        tasks: state.tasks.map((t) =>
          t.probes.length > 0 ? t : { ...t, probes: fact.probes[t.name] ?? [] },
        ),
      }
    case 'abandoned':
      return giveUpOwed(state, fact)
    case 'unrecorded':
      return state.finishedAt ? state : unrecorded(state, fact.why)
    case 'edited':
      return state.tasks.every(({ stage }) => stage === 'done') ? state : edited(state, fact.why)
    case 'finished':
      return state.finishedAt ? state : { ...state, finishedAt: fact.at }
    default:
      return ofTask(state, fact)
  }
}

/** What happened to one task, and what it means for the others. */
function ofTask(state: RunState, fact: TaskFact): RunState {
  const tasks = state.tasks.map((t) => (t.name === fact.task ? foldTask(t, fact) : t))
  if (fact.fact === 'stopped') {
    const why = `probe ${fact.probe} of ${fact.task} failed and has stopOnFailure`
    return { ...state, tasks: cutOff(tasks, short(why, 500)), stopped: true }
  }
  if (fact.fact === 'prepare-failed' && fact.fatal)
    return { ...state, tasks: cutOff(tasks, cannotGoOn(fact)), broken: true }
  return { ...state, tasks }
}
