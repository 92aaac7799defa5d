import { sample, seededChance } from '../../model/chance.ts'
import type { TaskPlan } from '../../model/plan.ts'
import { countOf } from '../../model/selection.ts'
import { recordKey } from '../../model/state.ts'
import type { Action } from '../engine/action.ts'
import { comparedWith, holdEnd, lateRecord, type Present } from '../engine/follow.ts'
import { leastHoldMs } from '../engine/pause.ts'
import { type Actor, type Carry, faultOf, mustFit, stateOf, taskOf } from './actor.ts'
import { lookAroundLate, roomLeft, type Sight, whyProtected, whyUnhealthy } from './guard.ts'

/** Pause between two looks, milliseconds; each costs one to three reads with the account's rights. */
const lookMs = 700
/** One look, milliseconds. */
const limitMs = 10_000

type Io = Parameters<Carry<Action>>[2]

/** Looks again and again for targets that have come while a fault is held, and records those that are to be hit. */
export const follow: Carry<Extract<Action, { do: 'follow' }>> = async (action, actor, io) => {
  const task = taskOf(actor, action.task)
  let told = ''
  while (!io.signal.aborted) {
    await actor.clock.sleep(lookMs, io.signal).catch(() => {})
    if (io.signal.aborted) return
    try {
      const signal = AbortSignal.any([io.signal, AbortSignal.timeout(limitMs)])
      const present = await actor.presentTargets(task, signal)
      const { held } = compare(present, task, actor)
      const sight = await lookAroundLate(task, { present, held }, { actor, signal })
      add(present, task, { actor, io, sight })
    } catch (error) {
      // What cannot be looked at, or has no room, changes nothing for those that are held.
      const text = `[Target]: nobody is added: ${error instanceof Error ? error.message : error}`
      if (io.signal.aborted || text === told) continue
      told = text
      io.emit({ fact: 'said', task: task.name, level: 'warn', text })
    }
  }
}

const compare = (present: Present[], task: TaskPlan, actor: Actor) =>
  comparedWith(stateOf(actor, task.name), present, faultOf(actor, task).outlivesContainers ?? false)

/** The share is kept over the targets that are there now: those that are held count, whatever they came as. */
function add(present: Present[], task: TaskPlan, { actor, io, sight }: Adding): void {
  if (io.signal.aborted) return
  const { name, selection, durationMs } = task
  const state = stateOf(actor, name)
  const { gone, held, fresh } = compare(present, task, actor)
  for (const target of gone) io.emit({ fact: 'gone', task: name, target: recordKey(target) })
  const until = holdEnd(state, durationMs)
  const holdMs = Math.round(until - actor.clock.now())
  const isNamed = selection.pods.length > 0 || selection.workloads.some(isByName)
  const missing = (isNamed ? present.length : countOf(selection.share, present.length)) - held
  if (holdMs < leastHoldMs || missing <= 0 || fresh.length === 0) return
  const chance = seededChance(actor.state().seed, `${name}/late/${state.targets.length}`)
  const limit = roomLeft(task, { actor, sight })
  const cap = (reason: string): void => {
    if (state.capped !== reason) io.emit({ fact: 'capped', task: name, why: reason })
  }
  const wanted = Math.min(missing, fresh.length)
  if (wanted > limit.room) cap(`targets that came later are not hit; ${limit.why}`)
  const targets = sample(fresh, Math.min(wanted, Math.max(0, limit.room)), chance).map((t) =>
    lateRecord(t, state, { holdMs, until }),
  )
  if (targets.length === 0) return
  const why = whyProtected(targets, actor) ?? whyUnhealthy(task, targets, { actor, sight })
  if (why !== null) {
    cap(`targets that came later are not hit: ${why}`)
    return
  }
  mustFit(actor, name, targets)
  io.emit({ fact: 'joined', task: name, targets })
}

type Adding = { actor: Actor; io: Io; sight: Sight }

const isByName = ({ kind, names }: TaskPlan['selection']['workloads'][number]): boolean =>
  kind === 'pod' && names.length > 0
