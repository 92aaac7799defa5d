import fc from 'fast-check'
import { expect, it } from 'vitest'
import { isEnded, type RunState, recordKey, runStateSchema } from '../../model/state.ts'
import type { Action } from './action.ts'
import { decide } from './decide.ts'
import type { Fact, FactBody } from './fact.ts'
import { leastHoldMs, pauseOf } from './pause.ts'
import { reduce } from './reduce.ts'
import { planOf, runState, shapes, target, taskPlan, taskState } from './testing.ts'
import type { FaultShape } from './view.ts'

const shapeOf = (fault: string): FaultShape =>
  shapes[fault] ?? { hands: 'kube', lasts: 'while-held', waveOffset: () => null }

const durationMs = 10_000
type Hold = { from: number; until: number | null; planned: number }
type Order = { do: 'go' | 'stop'; targets: string[]; holdMs(record: string): number }

/** One run with a node or an API server that carries out what the engine wants, late and in any order. */
class Simulated {
  now = 1_000_000
  state: RunState
  /** by record: what was really done to the target */
  readonly holds = new Map<string, Hold>()
  /** told by the node, not yet heard by the runner */
  unheard: FactBody[] = []
  /** sent by the runner, not yet heard by the node */
  orders: Order[] = []
  readonly #said: FactBody[] = []
  readonly #settled = new Set<string>()
  readonly #plan

  constructor(fault: string, serial: boolean) {
    this.#plan = planOf([taskPlan('t', { fault, durationMs })])
    const targets = [target('a'), target('b', serial ? { wave: 1 } : {})]
    this.state = runState([
      taskState('t', { fault, stage: 'ramp-up', prepared: true, startedAt: 1, targets }),
    ])
  }

  get task() {
    const [task] = this.state.tasks
    if (!task) throw new Error('no task')
    return task
  }

  emit(body: FactBody): void {
    this.state = reduce(this.state, { at: this.now, ...body } as Fact)
  }

  /** One turn of the loop: moves, records, and the wishes carried out. */
  turn(): void {
    for (let i = 0; i < 20; i++) {
      const decision = decide({ plan: this.#plan, state: this.state, now: this.now, shapeOf })
      for (const { task, to } of decision.moves) this.emit({ fact: 'moved', task, to })
      for (const { task, targets } of decision.joins) this.emit({ fact: 'joined', task, targets })
      if (decision.moves.length + decision.joins.length > 0) continue
      const before = this.state
      for (const action of decision.want) this.#carryOut(action)
      if (this.state === before) return
    }
  }

  #carryOut(action: Action): void {
    const { targets, wave } = this.task
    const keys = (which: (t: (typeof targets)[number]) => boolean) =>
      targets.filter(which).map(recordKey)
    const holdMs = (record: string) =>
      targets.find((t) => recordKey(t) === record)?.holdMs ?? durationMs
    if (action.do === 'go') {
      this.emit({ fact: 'wave-sent', task: 't', wave: action.wave })
      const sent = keys((t) => t.wave === action.wave && t.state === 'targeted' && !t.suspended)
      this.orders.push({ do: 'go', targets: sent, holdMs })
    } else if (action.do === 'join' || action.do === 'attend') {
      if (this.state.paused && !this.state.abort) return
      const open = keys((t) => t.wave < wave && t.state === 'targeted' && !t.suspended)
      if (open.length > 0) this.orders.push({ do: 'go', targets: open, holdMs })
    } else if (action.do === 'suspend')
      this.orders.push({
        do: 'stop',
        targets: keys((t) => t.suspended === true && !isEnded(t)),
        holdMs,
      })
    else if (action.do === 'stop')
      this.orders.push({ do: 'stop', targets: keys((t) => !isEnded(t)), holdMs })
    else if (action.do === 'inject') this.#injectWave(action.wave)
    else if (action.do === 'restore') this.#restore(action.target)
  }

  #injectWave(wave: number): void {
    for (const t of this.task.targets.filter(
      (one) => one.wave === wave && one.state === 'targeted',
    )) {
      const [record, planned] = [recordKey(t), t.holdMs ?? durationMs]
      this.emit({ fact: 'planned', task: 't', target: record, undo: {} })
      this.#begin(record, planned)
      const endsAt = this.now + planned
      this.emit({ fact: 'injected', task: 't', target: record, evidence: 'seen', endsAt })
    }
    this.emit({ fact: 'wave-sent', task: 't', wave })
  }

  #restore(record: string): void {
    this.#end(record)
    const { injectedAt = this.now } = this.task.targets.find((t) => recordKey(t) === record) ?? {}
    const heldMs = this.now - injectedAt
    this.emit({ fact: 'reverted', task: 't', target: record, proof: 'gone', heldMs })
  }

  #begin(record: string, planned: number): void {
    expect(this.holds.has(record), `${record} is injected twice`).toBe(false)
    const [id] = record.split('#')
    for (const [other, hold] of this.holds)
      if (other.split('#')[0] === id) expect(hold.until, `${other} and ${record}`).not.toBeNull()
    this.holds.set(record, { from: this.now, until: null, planned })
  }

  #end(record: string): number {
    const hold = this.holds.get(record)
    if (!hold) return 0
    hold.until ??= this.now
    return hold.until - hold.from
  }

  #say(body: FactBody): void {
    const stamped = { ...body, at: this.now }
    this.#said.push(stamped)
    this.unheard.push(stamped)
  }

  /** The node hears one order; it deals with each record once. */
  hear(): void {
    const order = this.orders.shift()
    for (const record of order?.targets ?? []) {
      if (this.#settled.has(record)) continue
      const live = this.holds.get(record)?.until === null
      if (order?.do === 'go' && !live) {
        const planned = order.holdMs(record)
        this.#begin(record, planned)
        const endsAt = this.now + planned
        this.#say({ fact: 'injected', task: 't', target: record, evidence: 'seen', endsAt })
      } else if (order?.do === 'stop') this.#revert(record)
    }
  }

  #revert(record: string): void {
    const untouched = this.holds.has(record) ? {} : { untouched: true as const }
    this.#settled.add(record)
    const heldMs = this.#end(record)
    this.#say({ fact: 'reverted', task: 't', target: record, proof: 'gone', heldMs, ...untouched })
  }

  /** The runner hears one thing; `again`: everything that was ever said. */
  listen(again: boolean): void {
    if (again) this.unheard = [...this.#said]
    const fact = this.unheard.shift()
    if (fact) this.emit(fact)
  }

  /** Time passes; every hold ends at its own moment: by the node, or by the engine that wakes up for it. */
  pass(ms: number, onNode: boolean): void {
    const end = this.now + ms
    const endOf = ({ from, planned }: Hold) => from + planned
    const inOrder = [...this.holds].sort(([, a], [, b]) => endOf(a) - endOf(b))
    for (const [record, hold] of inOrder) {
      if (hold.until !== null || endOf(hold) > end) continue
      this.now = Math.max(this.now, endOf(hold))
      if (onNode) this.#revert(record)
      else this.turn()
    }
    this.now = end
  }

  pause(): void {
    if (this.state.paused || this.state.abort) return
    this.emit(pauseOf('me', { plan: this.#plan, state: this.state, shapeOf }))
  }

  heldMs(id: string): number {
    return [...this.holds]
      .filter(([record]) => record.split('#')[0] === id)
      .reduce((sum, [, { from, until }]) => sum + ((until ?? this.now) - from), 0)
  }
}

const steps = [
  'turn',
  'hear',
  'listen',
  'again',
  'pass',
  'pause',
  'resume',
  'adopt',
  'drop',
] as const
const story = fc.record({
  fault: fc.constantFrom('pod-cpu-hog', 'node-taint'),
  serial: fc.boolean(),
  abort: fc.boolean(),
  steps: fc.array(fc.tuple(fc.constantFrom(...steps), fc.integer({ min: 1, max: 3000 })), {
    minLength: 20,
    maxLength: 120,
  }),
})

function take(run: Simulated, step: (typeof steps)[number], ms: number, onNode: boolean): void {
  if (step === 'turn') run.turn()
  else if (step === 'hear') run.hear()
  else if (step === 'listen') run.listen(false)
  else if (step === 'again') run.listen(true)
  else if (step === 'pass') run.pass(ms, onNode)
  else if (step === 'pause') run.pause()
  else if (step === 'resume') run.emit({ fact: 'resumed', by: 'me' })
  else if (step === 'adopt') run.emit({ fact: 'adopted', runner: 'r2', instance: 'j' })
  else run.orders = []
}

/** Everybody hears everything, at once. */
function calm(run: Simulated): void {
  for (let i = 0; i < 50; i++) {
    run.turn()
    while (run.orders.length > 0) run.hear()
    while (run.unheard.length > 0) run.listen(false)
  }
}

it('hits no record twice, holds nothing longer than was asked, and holds all of it in the end', () =>
  fc.assert(
    fc.property(story, ({ fault, serial, abort, steps: taken }) => {
      const onNode = fault === 'pod-cpu-hog'
      const run = new Simulated(fault, serial)
      for (const [step, ms] of taken) take(run, step, ms, onNode)
      run.pause()
      calm(run)
      if (run.state.paused)
        expect([...run.holds.values()].filter((h) => h.until === null)).toEqual([])
      if (abort) run.emit({ fact: 'aborted', by: 'me' })
      run.emit({ fact: 'resumed', by: 'me' })
      for (let i = 0; i < 30; i++) {
        calm(run)
        run.pass(1000, onNode)
      }
      calm(run)
      expect(run.task.stage).toBe('done')
      expect(run.task.targets.every(isEnded)).toBe(true)
      expect(runStateSchema.safeParse(run.state).success).toBe(true)
      for (const id of ['a', 'b']) {
        expect(run.heldMs(id)).toBeLessThanOrEqual(durationMs)
        if (!abort) expect(run.heldMs(id)).toBeGreaterThan(durationMs - leastHoldMs - 1)
      }
    }),
    { numRuns: 150 },
  ))
