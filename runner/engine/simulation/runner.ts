import type { Plan } from '../../../model/plan.ts'
import type { RunState, TargetState } from '../../../model/state.ts'
import type { FactBody } from '../fact.ts'
import { RunLoop } from '../loop.ts'
import { isResting } from '../pause.ts'
import type { FaultShape } from '../view.ts'
import { act } from './acts.ts'
import type { Program } from './program.ts'
import { Session } from './session.ts'
import type { Targets } from './targets.ts'
import type { Turns } from './turns.ts'

/** What a runner finds around it. */
export type Surroundings = {
  plan: Plan
  shapeOf: (fault: string) => FaultShape
  turns: Turns
  targets: Targets
  now(): number
  /** stores a state; throws when somebody else holds the run */
  store(runner: Runner): void
  programOf(task: string, node: string): Program
  /** whether the run is still this runner's */
  holds(runner: Runner): boolean
  choose(task: string, wave: number): TargetState[]
  which<T>(...outcomes: T[]): T
}

/** One life of a runner that carries the run. */
export class Runner {
  readonly #around: Surroundings
  readonly #halt = new AbortController()
  readonly #loop: RunLoop
  readonly #sessions = new Map<string, Session[]>()
  readonly #acts = new Map<string, Promise<void>>()
  readonly #strikes = new Map<string, Promise<void>>()
  readonly ended: Promise<'finished' | 'halted'>

  constructor(around: Surroundings, state: RunState, opening: FactBody[]) {
    this.#around = around
    const { plan, shapeOf, turns, targets, now, choose, which } = around
    this.#loop = new RunLoop({
      plan,
      state,
      shapeOf,
      clock: { now, sleep: async () => {} },
      observe: () => {},
      execute: (action, emit, signal) =>
        act(
          action,
          {
            turns,
            targets,
            choose,
            which,
            plan: (name) => named(plan.tasks, name),
            state: (name) => named(this.state.tasks, name),
            durable: () => this.#durable(),
            life: this.#halt.signal,
            alone: (id, work) => this.#alone(id, work),
            mayAct: () => around.holds(this),
            now,
            strikes: this.#strikes,
            sessions: (name) => this.#sessionsOf(name, emit),
          },
          { emit, signal },
        ),
    })
    for (const fact of opening) this.#loop.emitQuietly(fact)
    this.ended = this.#loop.run(this.#halt.signal)
  }

  get state(): RunState {
    return this.#loop.state
  }

  get sessions(): Session[] {
    return [...this.#sessions.values()].flat()
  }

  emit(fact: FactBody): void {
    this.#loop.emit(fact)
  }

  /** Dead, or told that another one holds the run. */
  halt(): void {
    this.#halt.abort(new Error('halted'))
  }

  async #durable(): Promise<void> {
    await this.#around.turns.take('store', this.#halt.signal)
    this.#around.store(this)
  }

  async #alone(id: string, work: () => Promise<void>): Promise<void> {
    const before = this.#acts.get(id) ?? Promise.resolve()
    const mine = before.then(work)
    this.#acts.set(
      id,
      mine.catch(() => {}),
    )
    await mine
  }

  #sessionsOf(name: string, emit: (fact: FactBody) => void): Session[] {
    const known = this.#sessions.get(name)
    if (known) return known
    const task = named(this.state.tasks, name)
    const { sequence, rampMs, healthCheck } = named(this.#around.plan.tasks, name)
    const nodes = [...new Set(task.targets.map((t) => t.node ?? ''))]
    const atOnce =
      nodes.length === 1 &&
      sequence === 'parallel' &&
      rampMs === 0 &&
      healthCheck === null &&
      task.stage !== 'pending' &&
      task.pods.length === 0 &&
      !task.probes.some((p) => p.mode === 'SOT' || p.mode === 'Edge')
    const made = nodes.map(
      (node) =>
        new Session({
          program: this.#around.programOf(name, node),
          node,
          start: atOnce ? 'now' : 'wait',
          task: () => named(this.state.tasks, name),
          resting: () => isResting(this.state, named(this.state.tasks, name)),
          emit,
          durable: () => this.#durable(),
          turns: this.#around.turns,
          signal: this.#halt.signal,
        }),
    )
    this.#sessions.set(name, made)
    return made
  }
}

export function named<T extends { name: string }>(all: readonly T[], name: string): T {
  const found = all.find((one) => one.name === name)
  if (!found) throw new Error(`no ${name}`)
  return found
}
