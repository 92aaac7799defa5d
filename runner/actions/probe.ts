import type { TaskPlan } from '../../model/plan.ts'
import type { ProbeOutcome, ProbePlan } from '../../model/probe.ts'
import type { Action } from '../engine/action.ts'
import type { ProbePhase } from '../engine/fact.ts'
import { isPast } from '../engine/view.ts'
import { evaluateProbe } from '../probes/evaluate.ts'
import { watchProbe } from '../probes/loop.ts'
import type { ProbeIo } from '../probes/probe-io.ts'
import { type Actor, type Carry, stateOf, taskOf } from './actor.ts'

function probeOf(actor: Actor, task: string, name: string): ProbePlan {
  const probe = actor.probes.get(task)?.find((p) => p.name === name)
  if (!probe) throw new Error(`task ${task} has no probe ${name}`)
  return probe
}

type Io = Parameters<Carry<Action>>[2]
type Judged = { task: string; probe: ProbePlan; phase: ProbePhase; mask(text: string): string }

type Loud = { probe: ProbePlan; phase: ProbePhase; emit: Io['emit'] }

/** The world of a probe; with verbosity debug every try is a line in the log of its task. */
function worldOf(actor: Actor, task: TaskPlan, { probe, phase, emit }: Loud): ProbeIo {
  const world = actor.probeIo(task)
  if (probe.run.verbosity !== 'debug') return world
  return {
    ...world,
    onTry(outcome, tries) {
      const { outcome: what, detail } = masked(outcome, actor.mask)
      const text = `[Probe]: ${probe.name} (${phase}) try ${tries} ${what}: ${detail}`
      emit({ fact: 'said', task: task.name, level: 'info', text })
    },
  }
}

/** What is told of an outcome: never a secret of the probe. */
function masked(outcome: ProbeOutcome, mask: (text: string) => string): ProbeOutcome {
  const detail = mask(outcome.detail)
  if (outcome.outcome === 'passed') return { ...outcome, detail }
  const { trouble } = outcome
  return { ...outcome, detail, trouble: { ...trouble, reason: mask(trouble.reason) } }
}

function tell(
  io: Io,
  { task, probe, phase, mask }: Judged,
  judged: ProbeOutcome,
  evaluations = 1,
): void {
  const outcome = masked(judged, mask)
  io.emit({
    fact: 'probed',
    task,
    probe: probe.name,
    phase,
    outcome: outcome.outcome,
    detail: outcome.detail,
    evaluations,
    final: true,
    ...('trouble' in outcome ? { trouble: outcome.trouble } : {}),
  })
  if (outcome.outcome === 'error') io.emit({ fact: 'failed', task, trouble: outcome.trouble })
  else if (outcome.outcome === 'failed' && probe.run.stopOnFailure)
    io.emit({ fact: 'stopped', task, probe: probe.name })
}

/** Pause between evaluations of `steadyState.after` while the service recovers, milliseconds. */
const recoveryPollMs = 1000

/** One evaluation before or after chaos; with a recovery limit, repeated after chaos until it passes. */
export const probe: Carry<Extract<Action, { do: 'probe' }>> = async (action, actor, io) => {
  const plan = probeOf(actor, action.task, action.probe)
  const task = taskOf(actor, action.task)
  const { mask } = actor
  const judged: Judged = { task: task.name, probe: plan, phase: action.phase, mask }
  const recovery = action.phase === 'post' ? actor.plan.recoveryMs : null
  const end = actor.clock.now() + (recovery ?? 0)
  const world = worldOf(actor, task, { probe: plan, phase: action.phase, emit: io.emit })
  for (let evaluations = 1; ; evaluations++) {
    const outcome = await evaluateProbe(plan, world, io.signal)
    if (io.signal.aborted) return
    if (outcome.outcome !== 'failed' || actor.clock.now() + recoveryPollMs > end)
      return tell(io, judged, outcome, evaluations)
    await actor.clock.sleep(recoveryPollMs, io.signal)
  }
}

/** A loop that passes says so at its first evaluation, and then at most this often, milliseconds. */
const progressMs = 5000

/** A probe that is evaluated again and again while chaos runs, judged when it ends. */
export const watch: Carry<Extract<Action, { do: 'watch' }>> = async (action, actor, io) => {
  const plan = probeOf(actor, action.task, action.probe)
  const task = taskOf(actor, action.task)
  const { mask, clock } = actor
  const judged: Judged = { task: task.name, probe: plan, phase: 'during', mask }
  const before =
    stateOf(actor, task.name).probes.find((p) => p.name === plan.name)?.evaluations ?? 0
  let [evaluations, told, toldAt] = [0, 0, Number.NEGATIVE_INFINITY]
  let last: ProbeOutcome | null = null
  // What was seen so far is on record, so that whoever takes the run over can judge by it.
  const say = (outcome: ProbeOutcome): void => {
    const { detail } = masked(outcome, mask)
    io.emit({
      fact: 'probed',
      task: task.name,
      probe: plan.name,
      phase: 'during',
      outcome: 'passed',
      detail,
      evaluations: evaluations - told,
      final: false,
    })
    told = evaluations
    toldAt = clock.now()
  }
  const progress = (outcome: ProbeOutcome): void => {
    evaluations++
    if (plan.mode === 'AbortWhen' || outcome.outcome !== 'passed') return
    last = outcome
    if (clock.now() - toldAt >= progressMs) say(outcome)
  }
  const world = worldOf(actor, task, { probe: plan, phase: 'during', emit: io.emit })
  const ended = await watchProbe(plan, world, {
    signal: io.signal,
    onOutcome: progress,
  })
  // A pause ends the watch, not the chaos: it is judged when that is over.
  if (io.signal.aborted && !isPast(stateOf(actor, task.name), 'reverting')) {
    if (last && evaluations > told) say(last)
    return
  }
  if (plan.mode === 'AbortWhen') {
    if (ended?.outcome === 'passed') {
      const rollback = plan.action === 'rollback'
      io.emit({ fact: 'aborted', by: `abort condition ${plan.name}`, rollback })
    } else if (ended) tell(io, judged, ended, evaluations - told)
    return
  }
  const passed: ProbeOutcome = {
    outcome: 'passed',
    detail: `${before + evaluations} evaluations, all passed`,
  }
  // After a pause, or another runner, the time may be too short for one more.
  const seen = evaluations === 0 && before > 0 && io.signal.aborted
  tell(io, judged, seen ? passed : (ended ?? passed), evaluations - told)
}
