import { mayBeOpen } from '../../../model/fault-pod-recovery.ts'
import type { Plan } from '../../../model/plan.ts'
import { type RunState, runStateSchema, type TargetState } from '../../../model/state.ts'
import { judgeRun } from '../../../model/verdict.ts'
import type { FactBody } from '../fact.ts'
import { pauseOf } from '../pause.ts'
import { runState, shapeOf, target, taskState } from '../testing.ts'
import { unheard } from '../unheard.ts'
import { Program } from './program.ts'
import { named, Runner, type Surroundings } from './runner.ts'
import { Targets, truthKey } from './targets.ts'
import { type Step, Turns } from './turns.ts'

export type SimulationSettings = {
  plan: Plan
  /** targets of each task, by node */
  nodesOf: Record<string, string[]>
  /** whether what takes the place of its pods has their names, as in a StatefulSet */
  keepsNames(task: string): boolean
  /** a number from 0 up, for what happens by chance; 0 is always the good outcome */
  next(): number
  now(): number
  /** lets that many milliseconds pass */
  pass(ms: number): void
  holdMs: number
  /** probe modes of every task */
  probes(task: string): RunState['tasks'][number]['probes']
}

/** A pod that vanished is replaced five times: one more, and a human is asked. */
const mostRemovals = 3

/** One run with everything around it: what is stored, who carries it, what becomes of its targets. */
export class Simulation {
  readonly #s: SimulationSettings
  readonly #turns = new Turns()
  readonly targets: Targets
  readonly #programs = new Map<string, Program>()
  readonly #removals = new Map<Program, number>()
  /** what the API server holds; null: never written */
  stored: RunState | null = null
  readonly verdicts = new Set<string>()
  #holder: Runner
  /** runners that do not know yet that somebody else holds the run */
  #stale: Runner[] = []
  #lives = 0
  #aborted = false
  #paused = false
  done = false

  constructor(settings: SimulationSettings) {
    this.#s = settings
    this.targets = new Targets((id) =>
      (this.stored?.tasks ?? []).some((t) =>
        t.targets.some(
          (one) => truthKey(t.fault, one) === id && (!isOnNode(t) || mayBeOpen(one, t)),
        ),
      ),
    )
    this.#holder = this.#begin()
  }

  get state(): RunState {
    return this.#holder.state
  }

  /** What goes on by itself. */
  steps(): Step[] {
    const programs = [...this.#programs.values()].flatMap((p) => p.steps())
    const pods = this.targets.going(this.#s.now()).map((uid) => ({
      name: `pod ${uid} goes`,
      run: () => this.targets.revert(uid),
    }))
    return [...this.#turns.steps(), ...programs, ...pods]
  }

  /** What nobody wishes for. */
  upsets(): Step[] {
    const programs = [...this.#programs.entries()]
    const living = programs.filter(([, p]) => p.alive)
    const pods = programs.filter(
      ([, p]) => p.pod && (this.#removals.get(p) ?? 0) < mostRemovals && p.events.length > 0,
    )
    return [
      { name: 'the runner dies', run: () => this.#replace(false) },
      { name: 'the runner is taken for dead', run: () => this.#replace(true) },
      { name: 'a state is stored', run: () => this.store(this.#holder) },
      { name: 'abort', run: () => this.#abort() },
      { name: 'pause', run: () => this.#pause(true) },
      { name: 'resume', run: () => this.#pause(false) },
      { name: 'a moment passes', run: () => this.#s.pass(60) },
      { name: 'time passes', run: () => this.#s.pass(1500) },
      { name: 'much time passes', run: () => this.#s.pass(9000) },
      ...living.map(([key, p]) => ({ name: `${key} is killed`, run: () => p.kill() })),
      ...pods.map(([key, p]) => ({
        name: `the pod of ${key} is deleted`,
        run: () => this.#remove(p),
      })),
      // Before it is on record, nobody could tell it from what was never done.
      ...this.#injected().map((id) => ({
        name: `somebody undoes ${id}`,
        run: () => this.targets.revert(id),
      })),
      ...this.#holder.sessions.map((s) => ({ name: 'told again', run: () => s.repeat() })),
    ]
  }

  store(runner: Runner): void {
    if (this.#stale.includes(runner)) {
      runner.halt()
      throw new Error('somebody else holds the run')
    }
    if (runner !== this.#holder) throw new Error('stored by the dead')
    const parsed = runStateSchema.safeParse(JSON.parse(JSON.stringify(runner.state)))
    if (!parsed.success) {
      this.targets.violations.push(`the state cannot be stored: ${parsed.error.message}`)
      return
    }
    const { data } = parsed
    this.targets.violations.push(...goneBack(this.stored, data))
    this.stored = data
    if (data.finishedAt) this.verdicts.add(JSON.stringify(judgeRun(this.#s.plan.dialect, data)))
  }

  #begin(): Runner {
    const { plan, now, probes } = this.#s
    const fresh = runState(
      plan.tasks.map((t) => taskState(t.name, { fault: t.fault })),
      { startedAt: now() },
    )
    const adopted = this.stored !== null
    const state = this.stored ?? fresh
    const known = Object.fromEntries(plan.tasks.map((t) => [t.name, probes(t.name)]))
    const opening: FactBody[] = [{ fact: 'resolved', notes: [], probes: known, notifyId: '' }]
    if (adopted)
      opening.push({ fact: 'adopted', runner: 'r', instance: `i${this.#lives}` }, ...unheard(state))
    if (this.#aborted) opening.push({ fact: 'aborted', by: 'me' })
    else opening.push(...this.#pauseFact(state))
    this.#lives++
    const runner = new Runner(this.#around(), state, opening)
    this.#holder = runner
    void runner.ended.then((how) => {
      if (how === 'finished' && runner === this.#holder) this.#letGo(runner)
    })
    return runner
  }

  #letGo(runner: Runner): void {
    this.store(runner)
    this.done = true
  }

  #around(): Surroundings {
    const { plan, next, now } = this.#s
    return {
      plan,
      shapeOf,
      turns: this.#turns,
      targets: this.targets,
      now,
      store: (runner) => this.store(runner),
      // A runner that has been silent acts on nothing before it has looked whether the run is still its own.
      holds: (runner) => runner === this.#holder,
      programOf: (task, node) => this.#programOf(task, node),
      choose: (task, wave) => this.#choose(task, wave),
      which: (...outcomes) => outcomes[next() % outcomes.length] as (typeof outcomes)[number],
    }
  }

  /** A later wave finds other pods, or new ones of the same names; in series each target is a wave of its own. */
  #choose(name: string, wave: number): TargetState[] {
    const { plan, nodesOf, keepsNames } = this.#s
    const { fault, sequence } = named(plan.tasks, name)
    const nodes = nodesOf[name] ?? []
    if (fault === 'pod-delete' && keepsNames(name))
      return nodes.flatMap((node, i) => {
        const id = `${name}/${i}`
        const uid = this.#standing(id)
        return uid === null ? [] : [target(id, { node, uid, wave })]
      })
    const series = fault !== 'pod-delete' && sequence === 'serial'
    return nodes.map((node, i) => {
      const id = `${name}/${wave}/${i}`
      return target(id, { node, uid: id, wave: series ? i : wave })
    })
  }

  /** The pod that bears this name now; null while the one before it still stops. */
  #standing(id: string): string | null {
    for (let n = 0; ; n++) {
      const { injects, held } = this.targets.of(`${id}/${n}`)
      if (injects === 0) return `${id}/${n}`
      if (held) return null
    }
  }

  #programOf(task: string, node: string): Program {
    const key = `${task} on ${node}`
    const { holdMs, now } = this.#s
    const ids = this.#choose(task, 0).flatMap((t) => (t.node === node ? [t.id] : []))
    const known = this.#programs.get(key)
    const made = known ?? new Program({ task, node, ids, holdMs, targets: this.targets, now })
    this.#programs.set(key, made)
    return made
  }

  #injected(): string[] {
    return (this.stored?.tasks ?? [])
      .flatMap((t) =>
        t.targets.filter((one) => one.state === 'injected').map((one) => truthKey(t.fault, one)),
      )
      .filter((key) => this.targets.of(key).held)
  }

  /** An annotation of the resource: every runner sees it. */
  #abort(): void {
    this.#aborted = true
    this.#holder.emit({ fact: 'aborted', by: 'me' })
  }

  /** Another annotation: what it says counts, not how often it was said. */
  #pause(paused: boolean): void {
    this.#paused = paused
    for (const fact of this.#pauseFact(this.state)) this.#holder.emit(fact)
  }

  #pauseFact(state: RunState): FactBody[] {
    if (this.#paused && !state.paused)
      return [pauseOf('me', { plan: this.#s.plan, state, shapeOf })]
    return state.paused && !this.#paused ? [{ fact: 'resumed', by: 'me' }] : []
  }

  #remove(program: Program): void {
    this.#removals.set(program, (this.#removals.get(program) ?? 0) + 1)
    program.remove()
  }

  /** Another runner adopts what is stored. The old one is dead, or goes on until it hears of it. */
  #replace(living: boolean): void {
    if (this.done) return
    if (living) this.#stale.push(this.#holder)
    else this.#holder.halt()
    this.#begin()
  }

  /** No runner is left that believes it holds the run, and nobody keeps it paused. */
  settle(): void {
    this.#pause(false)
    for (const runner of this.#stale) runner.halt()
    this.#stale = []
  }
}

const isOnNode = ({ fault }: { fault: string }): boolean => shapeOf(fault).hands === 'node'

/** A stored run never goes back. */
function goneBack(before: RunState | null, after: RunState): string[] {
  if (!before) return []
  const ended = before.finishedAt && before.finishedAt !== after.finishedAt ? ['ended twice'] : []
  const tasks = before.tasks.flatMap((task) => {
    const next = named(after.tasks, task.name)
    return [
      ...(next.injections < task.injections ? [`${task.name} forgot an injection`] : []),
      ...(next.wave < task.wave ? [`${task.name} went back to wave ${next.wave}`] : []),
      ...(task.stage === 'done' && next.stage !== 'done' ? [`${task.name} came back`] : []),
    ]
  })
  return [...ended, ...tasks]
}
