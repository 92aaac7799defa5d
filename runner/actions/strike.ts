import PQueue from 'p-queue'
import { halt, reach } from '../../lib/crash.ts'
import { ChaosError } from '../../model/errors.ts'
import type { TaskPlan } from '../../model/plan.ts'
import { recordKey, type TargetState } from '../../model/state.ts'
import type { Action } from '../engine/action.ts'
import { kubeFaults } from '../faults/index.generated.ts'
import type { InstantFault } from '../faults/kube-fault.ts'
import { userOf } from '../run/rights.ts'
import { type Actor, atOnce, type Carry, faultOf, mustFit, stateOf, taskOf } from './actor.ts'
import { failedFact } from './failed.ts'
import { lookAround, mustBeAllowed } from './guard.ts'

function instantFaultOf(task: TaskPlan): InstantFault<never> {
  const fault = kubeFaults[task.fault]
  if (fault?.lasts !== 'instant') throw new Error(`fault ${task.fault} strikes nothing`)
  return fault
}

/** What is under way when a strike is called off has this long to come to its end, milliseconds. */
const graceMs = 1000

/** What a fact says of a record: pods that keep their names have one of the same key in every wave. */
const recordOf = ({ name }: TaskPlan, target: TargetState) => ({
  task: name,
  target: recordKey(target),
  wave: target.wave,
})

const keyOf = ({ task, wave }: { task: string; wave: number }): string => `${task}/${wave}`

/** One wave of an API-level fault: choose (unless chosen), record durably, then act. */
export const strike: Carry<Extract<Action, { do: 'strike' }>> = async (action, actor, io) => {
  const begun = actor.strikes.get(keyOf(action))?.begun ?? new Set<string>()
  const ended = strikeWave(action, actor, { ...io, begun })
  actor.strikes.set(keyOf(action), { begun, ended: ended.catch(() => {}) })
  await ended
}

type Io = Parameters<typeof strike>[2]
type StrikeIo = Io & { begun: Set<string> }

async function strikeWave(
  action: { task: string; wave: number },
  actor: Actor,
  io: StrikeIo,
): Promise<void> {
  const task = taskOf(actor, action.task)
  const recorded = (): TargetState[] =>
    stateOf(actor, task.name).targets.filter((t) => t.wave === action.wave)
  if (recorded().length === 0) await chooseWave(task, action.wave, actor, io)
  CRASH: await halt('runner/strike-chosen', actor.resource.name)
  await actor.durable(io.signal)
  CRASH: await halt('runner/strike-recorded', actor.resource.name)
  const open = recorded().filter((t) => t.state === 'targeted')
  const pause = pauseOf(task, actor)
  if (pause !== null) await oneByOne(open, { pause, task, actor }, io)
  else {
    const pool = new PQueue({ concurrency: atOnce })
    await pool.addAll(open.map((target) => () => hit(target, task, actor, io)))
  }
  if (!io.signal.aborted) io.emit({ fact: 'wave-sent', task: task.name, wave: action.wave })
}

/**
 * The end of a strike that was called off, by this runner or by the death of the one before: what was hit is on
 * record, the rest was never touched.
 */
export const spare: Carry<Extract<Action, { do: 'spare' }>> = async (action, actor, io) => {
  const task = taskOf(actor, action.task)
  const own = actor.strikes.get(keyOf(action))
  await own?.ended
  const { kube } = actor.context
  const mayBeHit = (id: string): boolean =>
    actor.state().adoptions > 0 || own?.begun.has(id) === true
  const inDoubt = stateOf(actor, task.name).targets.filter(
    (t) => t.wave === action.wave && t.state === 'targeted' && mayBeHit(t.id),
  )
  for (const target of inDoubt) {
    const evidence = await instantFaultOf(task).struck(target, { kube, signal: io.signal })
    if (evidence) io.emit({ fact: 'injected', ...recordOf(task, target), evidence })
  }
  if (!io.signal.aborted) io.emit({ fact: 'wave-sent', task: task.name, wave: action.wave })
}

/** Pause before pods that are being replaced are looked for again, milliseconds. */
const lookAgainMs = 500

/**
 * Chooses the targets of a wave. Those of a later one may just be on their way back, or too few would stay ready as
 * long as they are: they are waited for until the duration is over, and a wave that finds none strikes none.
 */
async function chooseWave(task: TaskPlan, wave: number, actor: Actor, io: Io): Promise<void> {
  const { clock } = actor
  const end = (stateOf(actor, task.name).chaosAt ?? clock.now()) + task.durationMs
  const record = (targets: TargetState[]): void => {
    mustFit(actor, task.name, targets)
    io.emit({ fact: 'targeted', task: task.name, wave, targets })
  }
  for (let told = false; ; told = true) {
    try {
      const targets = await actor.findTargets(task, wave, io.signal)
      const sight = await lookAround(task, targets, { actor, signal: io.signal })
      mustBeAllowed(task, targets, { actor, sight })
      return record(targets)
    } catch (error) {
      const none = error instanceof ChaosError && error.code === 'TARGET_SELECTION_ERROR'
      if (wave === 0 || !none || io.signal.aborted) throw error
      if (!told) {
        const text = `[Target]: nobody to strike now: ${error.message}`
        io.emit({ fact: 'said', task: task.name, level: 'warn', text })
      }
      if (clock.now() + lookAgainMs >= end) return record([])
      await clock.sleep(lookAgainMs, io.signal)
    }
  }
}

/** Pause between the targets of one strike, milliseconds; null: all at once. */
function pauseOf(task: TaskPlan, actor: Actor): number | null {
  const { pauseMs, intervalMs } = faultOf(actor, task)
  const own = pauseMs?.(task.params) ?? null
  if (own !== null || task.sequence === 'parallel') return own
  return intervalMs?.(task.params, actor.context.random) ?? 0
}

async function oneByOne(
  targets: TargetState[],
  { pause, task, actor }: { pause: number; task: TaskPlan; actor: Actor },
  io: StrikeIo,
): Promise<void> {
  const state = stateOf(actor, task.name)
  const end = (state.chaosAt ?? actor.clock.now()) + task.durationMs
  for (const [i, target] of targets.entries()) {
    const left = Math.max(0, end - actor.clock.now())
    if (i > 0) await actor.clock.sleep(Math.min(pause, left), io.signal)
    // What the duration has no room for is not begun.
    if (actor.clock.now() >= end)
      return io.emit({
        fact: 'failed',
        task: task.name,
        trouble: {
          code: 'CUT_SHORT',
          target: target.id,
          reason: `TOTAL_CHAOS_DURATION of ${task.durationMs / 1000} s was over before ${target.id} had its turn; lengthen it or shorten the pause between targets`,
        },
      })
    await hit(target, task, actor, io)
  }
}

async function hit(target: TargetState, task: TaskPlan, actor: Actor, io: StrikeIo): Promise<void> {
  const { context, account } = actor
  if (io.signal.aborted) return
  io.begun.add(target.id)
  // Cut off at once, a deletion that was accepted would be taken for one that never happened.
  const signal = AbortSignal.any([actor.signal, after(io.signal, graceMs)])
  try {
    await actor.mayAct(signal)
    CRASH: await halt('runner/striking', actor.resource.name)
    const { evidence, since } = await instantFaultOf(task).strike(target, task.params as never, {
      kube: context.kube,
      as: userOf(account),
      signal,
    })
    CRASH: await halt('runner/struck', actor.resource.name)
    if (since) actor.since.set(target.uid, since)
    io.emit({ fact: 'injected', ...recordOf(task, target), evidence })
    CRASH: reach('runner/strike-told', actor.resource.name)
  } catch (error) {
    if (signal.aborted) return
    io.emit({ ...failedFact({ task, actor }, target, error), wave: target.wave })
  }
}

/** Aborted `ms` after the given signal. */
function after(signal: AbortSignal, ms: number): AbortSignal {
  const late = new AbortController()
  const fire = (): void => void setTimeout(() => late.abort(signal.reason), ms).unref()
  if (signal.aborted) fire()
  else signal.addEventListener('abort', fire, { once: true })
  return late.signal
}

/** Follows a target that was struck until the effect is complete, with a limit; beside the cadence of the waves. */
export const settle: Carry<Extract<Action, { do: 'settle' }>> = async (action, actor, io) => {
  const task = taskOf(actor, action.task)
  const target = stateOf(actor, task.name).targets.find(
    (t) => t.wave === action.wave && recordKey(t) === action.target,
  )
  if (target?.state !== 'injected') return
  await strikeFirst(action, actor, io.signal)
  const ms = instantFaultOf(task).settleMs(task.params as never)
  const signal = AbortSignal.any([io.signal, AbortSignal.timeout(ms)])
  CRASH: await halt('runner/settling', actor.resource.name)
  const { proof, blind } = await proofOf(target, task, actor, signal)
  CRASH: await halt('runner/settled', actor.resource.name)
  if (proof) return io.emit({ fact: 'reverted', ...recordOf(task, target), proof })
  if (io.signal.aborted) return
  const { code, message: reason } = notSeen(target, ms, blind)
  const trouble = { code, reason, target: target.id }
  io.emit({ fact: 'inject-failed', ...recordOf(task, target), trouble })
}

/** So long at most the others of a wave go first, milliseconds. */
const firstMs = 2000

/** A connection for each target that is followed would hold up those that are still to be struck. */
async function strikeFirst(
  wave: { task: string; wave: number },
  actor: Actor,
  signal: AbortSignal,
): Promise<void> {
  const strike = actor.strikes.get(keyOf(wave))
  if (!strike) return
  const over = new AbortController()
  const limit = actor.clock.sleep(firstMs, AbortSignal.any([signal, over.signal])).catch(() => {})
  await Promise.race([strike.ended, limit])
  over.abort()
}

/** Pause before the API server is asked again after a failure, milliseconds. */
const askAgainMs = 1000

/** How a target was seen to be complete; without that, why it could not be looked at last. */
type Looked = { proof?: string; blind?: string }

/**
 * No proof when the signal came first. An API server that does not answer, or a watch that broke, is asked again:
 * what was struck is not undone by that.
 */
async function proofOf(
  target: TargetState,
  task: TaskPlan,
  actor: Actor,
  signal: AbortSignal,
): Promise<Looked> {
  const { kube, clock } = actor.context
  let blind: string | undefined
  while (!signal.aborted) {
    const since = actor.since.get(target.uid)
    actor.since.delete(target.uid)
    const from = since ? { since } : {}
    const world = { kube, as: userOf(actor.account), signal, ...from }
    try {
      return { proof: await instantFaultOf(task).settled(target, task.params as never, world) }
    } catch (error) {
      // a look that the limit cut off says nothing new about why
      if (signal.aborted) break
      blind = error instanceof Error ? error.message : String(error)
      actor.log.warn({ err: error, target: target.id }, 'a target could not be looked at; again')
      await clock.sleep(askAgainMs, signal).catch(() => {})
    }
  }
  return blind === undefined ? {} : { blind }
}

const notSeen = (target: TargetState, ms: number, blind: string | undefined): ChaosError =>
  new ChaosError({
    code: 'EFFECT_NOT_SEEN',
    target: target.id,
    reason: blind
      ? `whether ${target.id} is gone could not be seen within ${ms / 1000} s after its deletion was accepted: ${blind}`
      : `${target.id} was still there ${ms / 1000} s after its deletion was accepted; look for a finalizer that holds it`,
  })
