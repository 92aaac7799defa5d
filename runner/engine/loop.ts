import type { Clock } from '../../lib/clock.ts'
import { troubleOf } from '../../model/errors.ts'
import type { Plan } from '../../model/plan.ts'
import type { RunState } from '../../model/state.ts'
import { type Action, key } from './action.ts'
import { decide } from './decide.ts'
import type { Fact, FactBody } from './fact.ts'
import { reduce } from './reduce.ts'
import type { FaultShape } from './view.ts'

/** Carries out one action; emits facts on the way; ends early when the signal is aborted. */
export type Execute = (
  action: Action,
  emit: (fact: FactBody) => void,
  signal: AbortSignal,
) => Promise<void>

export type LoopSettings = {
  plan: Plan
  state: RunState
  shapeOf: (fault: string) => FaultShape
  execute: Execute
  clock: Clock
  /** hears every fact with the state after it */
  observe(state: RunState, fact: Fact): void
}

/** First pause before an action that ended without effect is begun again; doubles up to the limit. */
const againMs = 100
const againLimitMs = 10_000

type Running = { abort: AbortController; ended: Promise<void> }

/** Drives one run: facts in, `decide`, actions out. Holds no knowledge of its own beside what is in flight. */
export class RunLoop {
  #settings: LoopSettings
  #state: RunState
  #running = new Map<string, Running>()
  /** actions that ended while still wanted: when they may begin again */
  #pause = new Map<string, { until: number; ms: number }>()
  #timer: NodeJS.Timeout | undefined
  #ticking = false
  #halted = false
  #finished: (() => void) | undefined

  constructor(settings: LoopSettings) {
    this.#settings = settings
    this.#state = settings.state
  }

  get state(): RunState {
    return this.#state
  }

  /** Records a fact and lets the engine decide anew. */
  emit(body: FactBody): void {
    if (this.#halted) return
    this.#apply(body)
    this.#tick()
  }

  /** Records a fact before the loop runs: nothing is decided yet. */
  emitQuietly(body: FactBody): void {
    this.#apply(body)
  }

  /** Resolves when the run is finished and its fault pods are gone, or when the signal halts the loop (the run itself stays as it is). */
  async run(signal: AbortSignal): Promise<'finished' | 'halted'> {
    const finished = new Promise<void>((resolve) => {
      this.#finished = resolve
      signal.addEventListener('abort', () => resolve(), { once: true })
      if (signal.aborted) resolve()
    })
    this.#tick()
    await finished
    await this.#halt()
    return this.#state.finishedAt ? 'finished' : 'halted'
  }

  async #halt(): Promise<void> {
    this.#halted = true
    clearTimeout(this.#timer)
    const ended = [...this.#running.values()].map((r) => r.ended)
    for (const r of this.#running.values()) r.abort.abort(new Error('the run loop has ended'))
    await Promise.all(ended)
  }

  #apply(body: FactBody): void {
    const fact = { ...body, at: body.at ?? this.#settings.clock.now() } as Fact
    this.#state = reduce(this.#state, fact)
    this.#settings.observe(this.#state, fact)
  }

  #tick(): void {
    // A fact that is emitted while deciding is seen by the turn that is under way.
    if (this.#ticking || this.#halted) return
    this.#ticking = true
    try {
      this.#turn()
    } finally {
      this.#ticking = false
    }
  }

  #turn(): void {
    for (;;) {
      const { plan, shapeOf, clock } = this.#settings
      const before = this.#state
      const decision = decide({ plan, state: before, now: clock.now(), shapeOf })
      for (const move of decision.moves)
        this.#apply({ fact: 'moved', task: move.task, to: move.to })
      for (const { task, targets } of decision.joins) this.#apply({ fact: 'joined', task, targets })
      if (decision.moves.length + decision.joins.length > 0) continue
      const wakeAt = this.#reconcile(decision.want, decision.wakeAt)
      if (this.#state !== before) continue
      if (decision.finished && !this.#state.finishedAt) {
        this.#apply({ fact: 'finished' })
        continue
      }
      if (decision.cleared) {
        this.#finished?.()
        return
      }
      this.#sleepUntil(wakeAt)
      return
    }
  }

  #reconcile(want: Action[], wakeAt: number | null): number | null {
    const wanted = new Map(want.map((a) => [key(a), a]))
    for (const [name, running] of this.#running)
      if (!wanted.has(name)) running.abort.abort(new Error('no longer wanted'))
    for (const name of this.#pause.keys()) if (!wanted.has(name)) this.#pause.delete(name)
    let wake = wakeAt
    const now = this.#settings.clock.now()
    for (const [name, action] of wanted) {
      if (this.#running.has(name)) continue
      const until = this.#pause.get(name)?.until ?? 0
      if (until > now) wake = wake === null ? until : Math.min(wake, until)
      else this.#start(name, action)
    }
    return wake
  }

  #start(name: string, action: Action): void {
    const abort = new AbortController()
    let said = 0
    const emit = (fact: FactBody): void => {
      said++
      this.emit(fact)
    }
    const work = async (): Promise<void> => {
      try {
        await this.#settings.execute(action, emit, abort.signal)
      } catch (thrown) {
        if (!abort.signal.aborted)
          // Not counted as an effect: what fails again and again is begun again ever later.
          this.emit({ fact: 'failed', task: action.task, trouble: troubleOf(thrown) })
      }
      this.#running.delete(name)
      const last = said > 0 ? 0 : (this.#pause.get(name)?.ms ?? 0)
      const ms = Math.min(againLimitMs, Math.max(againMs, last * 2))
      this.#pause.set(name, { until: this.#settings.clock.now() + ms, ms })
      this.#tick()
    }
    this.#running.set(name, { abort, ended: Promise.resolve().then(work) })
  }

  #sleepUntil(at: number | null): void {
    clearTimeout(this.#timer)
    if (at === null) return
    const ms = Math.min(Math.max(0, at - this.#settings.clock.now()), 2 ** 31 - 1)
    this.#timer = setTimeout(() => this.#tick(), ms)
  }
}
