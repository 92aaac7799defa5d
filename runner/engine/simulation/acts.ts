import type { TaskPlan } from '../../../model/plan.ts'
import type { TargetState, TaskState } from '../../../model/state.ts'
import { isEnded, recordKey } from '../../../model/state.ts'
import type { Action } from '../action.ts'
import type { FactBody } from '../fact.ts'
import { isPast } from '../view.ts'
import type { Session } from './session.ts'
import type { Targets } from './targets.ts'
import type { Turns } from './turns.ts'

/** What the actions of a simulated runner work with. */
export type Acting = {
  turns: Turns
  targets: Targets
  plan(task: string): TaskPlan
  state(task: string): TaskState
  durable(): Promise<void>
  /** of the runner: ends with it alone */
  life: AbortSignal
  /** strikes of this runner, by task and wave; each resolves when no call of it is under way */
  strikes: Map<string, Promise<void>>
  sessions(task: string): Session[]
  /** acts on one target exclude each other */
  alone(id: string, work: () => Promise<void>): Promise<void>
  /** false once this runner has been silent for so long that another one may have taken the run */
  mayAct(): boolean
  now(): number
  /** targets of a wave; what is selected later are other pods, or new ones of the same names */
  choose(task: string, wave: number): TargetState[]
  /** one of these happens; the test says which */
  which<T>(...outcomes: T[]): T
}
type Io = { emit(fact: FactBody): void; signal: AbortSignal }
type Act<A extends Action> = (action: A, of: Acting, io: Io) => Promise<void>
type Table = { [K in Action['do']]: Act<Extract<Action, { do: K }>> }

const untilAborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) return resolve()
    signal.addEventListener('abort', () => resolve(), { once: true })
  })

const outcomes = ['passed', 'passed', 'passed', 'failed', 'error'] as const
const trouble = { code: 'GENERIC_ERROR' as const, reason: 'by chance' }

const isNext = (target: TargetState): boolean => target.state === 'targeted' && !target.suspended

const table: Table = {
  async prepare({ task, early }, of, { emit, signal }) {
    await of.turns.take(`prepare ${task}`, signal)
    if (of.which(false, false, false, false, false, false, true)) {
      if (early) return untilAborted(signal)
      return emit({ fact: 'prepare-failed', task, trouble, fatal: of.which(false, true) })
    }
    const held = of.plan(task).fault !== 'pod-delete'
    emit({
      fact: 'prepared',
      task,
      targets: held || of.which(true, false) ? of.choose(task, 0) : [],
    })
  },

  async check({ task }, of, { emit, signal }) {
    await of.turns.take(`check ${task}`, signal)
    if (of.which(false, false, true)) throw new Error('not ready')
    emit({ fact: 'checked', task })
  },

  async probe({ task, probe, phase }, of, { emit, signal }) {
    await of.turns.take(`probe ${task}/${probe}`, signal)
    // What one asks that has lost the run is stored by nobody.
    if (phase === 'pre' && of.mayAct()) of.targets.mustBeFree(task)
    const outcome = of.which(...outcomes)
    emit({
      ...{ fact: 'probed', task, probe, phase, outcome, detail: '', evaluations: 1, final: true },
      ...(outcome === 'error' ? { trouble } : {}),
    })
    if (outcome === 'error') emit({ fact: 'failed', task, trouble })
    else if (outcome === 'failed' && of.which(true, false)) emit({ fact: 'stopped', task, probe })
  },

  async watch({ task, probe }, of, { emit, signal }) {
    const judged = {
      fact: 'probed',
      task,
      probe,
      phase: 'during',
      detail: '',
      final: true,
    } as const
    try {
      for (;;) {
        await of.turns.take(`look at ${task}/${probe}`, signal)
        const outcome = of.which(...outcomes)
        if (outcome === 'failed') {
          emit({ ...judged, outcome, evaluations: 1 })
          if (of.which(true, false)) emit({ fact: 'stopped', task, probe })
          return
        }
        emit({ ...judged, outcome: 'passed', evaluations: 1, final: false })
      }
    } catch {
      // A pause ends the watch, not the chaos.
      if (isPast(of.state(task), 'reverting'))
        emit({ ...judged, outcome: 'passed', evaluations: 0 })
    }
  },

  async attend({ task }, of, { signal }) {
    for (const session of of.sessions(task)) session.begin()
    await untilAborted(signal)
  },

  async strike({ task, wave }, of, { emit, signal }) {
    const ended = strikeWave({ task, wave }, of, { emit, signal })
    of.strikes.set(
      `${task}/${wave}`,
      ended.catch(() => {}),
    )
    await ended
  },

  async spare({ task, wave }, of, { emit, signal }) {
    await of.strikes.get(`${task}/${wave}`)
    for (const { id, uid } of of
      .state(task)
      .targets.filter((t) => t.wave === wave && t.state === 'targeted')) {
      await of.turns.take(`look whether ${id} is hit`, signal)
      if (of.targets.of(uid).injects > 0)
        emit({ fact: 'injected', task, target: id, wave, evidence: 'gone' })
    }
    emit({ fact: 'wave-sent', task, wave })
  },

  async settle({ task, wave, target }, of, { emit, signal }) {
    const { targets } = of.state(task)
    const { uid } = targets.find((t) => t.wave === wave && t.id === target) ?? { uid: '' }
    await of.turns.take(`settle ${uid}`, signal, () => !of.targets.of(uid).held)
    emit({ fact: 'reverted', task, target, wave, proof: 'gone' })
  },

  async inject({ task, wave }, of, { emit, signal }) {
    const ofWave = () => of.state(task).targets.filter((t) => t.wave === wave)
    for (const t of ofWave().filter((one) => isNext(one) && !one.undo)) {
      const target = recordKey(t)
      await of.turns.take(`plan ${target}`, signal)
      emit({ fact: 'planned', task, target, undo: { was: 'so' } })
    }
    await of.durable()
    for (const t of ofWave().filter((one) => isNext(one) && one.undo)) {
      const id = recordKey(t)
      await of.alone(id, async () => {
        // While it waited for its turn, a pause may have ended it.
        if (ofWave().some((one) => recordKey(one) === id && isNext(one)))
          await injectOne({ task, id }, of, { emit, signal })
      })
    }
    if (!signal.aborted) emit({ fact: 'wave-sent', task, wave })
  },

  async oversee({ task }, of, { emit, signal }) {
    const ended = () =>
      of
        .state(task)
        .targets.filter((t) => t.state === 'injected')
        .map(recordKey)
        .find((id) => !of.targets.of(id).held)
    while (!signal.aborted) {
      await of.turns.take(`oversee ${task}`, signal, () => ended() !== undefined)
      const reason = 'somebody else has undone it'
      emit({ fact: 'lost', task, target: ended() ?? '', reason, heldMs: 1 })
    }
  },

  async restore({ task, target: id }, of, { emit, signal }) {
    await of.alone(id, async () => {
      const state = of.state(task).targets.findLast((t) => recordKey(t) === id)
      if (!state || isEnded(state) || signal.aborted) return
      await of.durable()
      await of.turns.take(`restore ${id}`, signal)
      of.targets.revert(id)
      await of.turns.take(`prove ${id}`, signal)
      emit({ fact: 'reverted', task, target: id, proof: 'as before', heldMs: 1 })
    })
  },

  async go({ task, wave }, of, { emit, signal }) {
    const nodes = new Set(of.state(task).targets.flatMap((t) => (t.wave === wave ? [t.node] : [])))
    const concerned = of.sessions(task).filter(({ node }) => nodes.has(node))
    if (of.state(task).pods.length > 0) await of.durable()
    await of.turns.take(`go ${task} ${wave}`, signal, () => concerned.every((s) => s.isArmed()))
    emit({ fact: 'wave-sent', task, wave })
    for (const session of concerned) session.pushGo()
  },

  async join({ task }, of, { signal }) {
    await of.durable()
    for (const session of of.sessions(task)) {
      session.begin()
      session.pushGo()
    }
    await untilAborted(signal)
  },

  async follow() {
    throw new Error('nobody is followed here: tasks are static')
  },

  async suspend({ task }, of, { signal }) {
    for (const session of of.sessions(task)) {
      session.begin()
      session.suspend()
    }
    await untilAborted(signal)
  },

  async stop({ task }, of, { signal }) {
    for (const session of of.sessions(task)) {
      session.begin()
      session.stop()
    }
    await untilAborted(signal)
  },

  async close({ task }, of, { emit, signal }) {
    for (const session of of.sessions(task)) await session.close(() => of.durable())
    if (!signal.aborted) emit({ fact: 'closed', task })
  },
}

async function injectOne(
  { task, id }: { task: string; id: string },
  of: Acting,
  { emit, signal }: Io,
): Promise<void> {
  await of.turns.take(`inject ${id}`, signal, of.mayAct)
  // What is there already is not done again.
  if (!of.targets.of(id).held) of.targets.inject(id)
  await of.turns.take(`see the effect on ${id}`, signal)
  const endsAt = of.now() + 2000
  emit({ fact: 'injected', task, target: id, evidence: 'seen', endsAt })
}

async function strikeWave(
  { task, wave }: { task: string; wave: number },
  of: Acting,
  { emit, signal }: Io,
): Promise<void> {
  const recorded = () => of.state(task).targets.filter((t) => t.wave === wave)
  if (recorded().length === 0) {
    await of.turns.take(`choose for ${task} ${wave}`, signal)
    emit({ fact: 'targeted', task, wave, targets: of.choose(task, wave) })
  }
  await of.durable()
  for (const { id, uid } of recorded().filter((t) => t.state === 'targeted')) {
    await of.turns.take(`strike ${id}`, signal, of.mayAct)
    // Deleted by its uid: what is gone already is not struck again.
    if (of.targets.of(uid).injects === 0) of.targets.strike(uid, of.now() + of.which(0, 0, 12_000))
    // Called off now, it still hears the answer to this one, or it does not.
    const late = of.which(of.life, signal)
    await of.turns.take(`answer for ${id}`, late)
    emit({ fact: 'injected', task, target: id, wave, evidence: 'accepted' })
  }
  if (!signal.aborted) emit({ fact: 'wave-sent', task, wave })
}

/** Does what the engine wants, in the shape of runner/actions. */
export const act = (action: Action, of: Acting, io: Io): Promise<void> =>
  (table[action.do] as Act<Action>)(action, of, io)
