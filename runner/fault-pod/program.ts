import { join } from 'node:path'
import { reach } from '../../lib/crash.ts'
import type { HoldEnd, NodeCommand, NodeOrder, NodeTarget } from '../../model/fault-pod.ts'
import { type FoundTarget, NodeTrouble, TargetGone } from '../faults/node-fault.ts'
import type { Channel } from './channel.ts'
import { type GuardLine, openGuardLine } from './guard-line.ts'
import type { Hands } from './hands.ts'
import { type AnyNodeFault, Hold, latestStartMs } from './hold.ts'
import { bootId, bootMs } from './host.ts'
import { type Journal, type OpenGo, type Planned, undoScript } from './journal.ts'
import { noRecord, pastOf, sweepOwn } from './recover.ts'

/** What the program works with; all of it real, given as arguments so that tests choose folders and time limits. */
export type World = {
  order: NodeOrder
  /** the fault of the order; null where it is not asked for: to sweep, the journal says which */
  fault: AnyNodeFault | null
  faultOf(id: string): AnyNodeFault | undefined
  hands: Hands
  journal: Journal
  channel: Channel
  find(target: NodeTarget, how: { byPod: boolean }): Omit<FoundTarget, 'mark'>
  now(): number
  monotonic(): number
  /** the attempt of another pod's program that asks for the journal, 0: none */
  wantedBy(): number
  /** outlives this program and its journal, not its pod: whether a program of this pod has ever begun to inject */
  begun: { is(): boolean; mark(): void }
  limits: { guardMs: number; retentionMs: number }
}

/** Why the program is at its end, and whether the journal may go. `yielded`: another pod's program takes it over. */
export type Ending = 'removed' | 'kept' | 'owed' | 'yielded'

/** The guard undoes this much after the program's own deadline. */
const guardMarginMs = 1000
const termLimitMs = 1500
/** How often it is looked whether another pod's program asks for the journal. */
const yieldEveryMs = 100

const troubleOf = (thrown: unknown): { code: string; reason: string; gone?: true } => ({
  code: thrown instanceof NodeTrouble ? thrown.code : 'HELPER_ERROR',
  reason: thrown instanceof Error ? thrown.message : String(thrown),
  ...(thrown instanceof TargetGone ? { gone: true } : {}),
})

/** A target and what was found of it on the node, or why it cannot be hit. */
type Looked<Target extends NodeTarget = NodeTarget> = {
  target: Target
  result: { value: { place: Omit<FoundTarget, 'mark'>; facility: string } } | { thrown: unknown }
}

/** The life of the fault program: arm, go, hold, revert, report, leave nothing. */
export class Program {
  readonly #world: World
  readonly #armed = new Map<string, Omit<FoundTarget, 'mark'>>()
  readonly #holds = new Map<string, Hold>()
  readonly #settling = new Set<Promise<void>>()
  #settled = new Set<string>()
  /** what an earlier program left open and is being put back */
  #sweeping = new Set<string>()
  /** what waits for the guard before it is injected */
  readonly #joining = new Set<string>()
  /** null once the guard is there, or why it is not */
  #guarded: Promise<unknown> = Promise.resolve(null)
  #line: GuardLine | null = null
  #goes = 0
  #ready = false
  /** the runner has stored everything */
  #reported = false
  /** it puts back what it holds, and ends */
  #leaving = false
  #timer: ReturnType<typeof setTimeout> | undefined
  #finish: (ending: Ending) => void = () => {}
  /** resolves when the program has nothing more to do */
  readonly ended: Promise<Ending>
  /** what came before arming was done */
  readonly #early: NodeCommand[] = []

  constructor(world: World) {
    this.#world = world
    this.ended = new Promise((resolve) => {
      this.#finish = resolve
    })
    world.hands.onEnd = (mark) => {
      for (const hold of this.#holds.values()) hold.childEnded(mark)
    }
  }

  /** False once anything was told: then it is said again to whoever asks, also while it is being put back. */
  get isFresh(): boolean {
    return this.#world.journal.earlier.length === 0
  }

  /** Sweeps what an earlier program left, arms the targets, and injects at once when the order says so. */
  async start(): Promise<void> {
    const { journal, channel, faultOf, hands, now, monotonic, order, begun } = this.#world
    this.#listenForOthers()
    CRASH: reach('program/owned')
    const past = pastOf(journal.earlier, journal.openGos())
    this.#settled = past.settled
    this.#sweeping = past.sweeping
    await sweepOwn({ journal, channel, faultOf, hands, now, monotonic }, past)
    this.#tellOfTouched()
    CRASH: reach('program/swept')
    await this.#arm()
    if (order.start === 'now' && !past.acted && !begun.is()) this.#go(order.holdMs, undefined)
    CRASH: reach('program/ready')
    this.#ready = true
    for (const command of this.#early.splice(0)) this.command(command)
    this.#rest()
  }

  /** What was reported once and is not in the journal is owed no more. */
  #tellOfTouched(): void {
    for (const { id, touched } of this.#world.order.targets) {
      if (!touched || this.#settled.has(id) || this.#sweeping.has(id)) continue
      this.#settled.add(id)
      this.#world.channel.emit({ event: 'reverted', target: id, why: 'guard', proof: noRecord })
    }
  }

  /** A pod that only sweeps injects nothing: whoever still waits for that is told. */
  #refuseToGo(targets: readonly string[]): void {
    const reason =
      'The fault pod was lost before it injected, and what took its place only puts back. Nothing was done to the target.'
    for (const id of targets) {
      if (this.#settled.has(id) || this.#sweeping.has(id)) continue
      this.#settled.add(id)
      const code = 'HELPER_ERROR'
      this.#world.channel.emit({ event: 'inject-failed', target: id, code, reason })
    }
  }

  /** The program of a later pod is the one that the runner speaks to: it gets the journal, put back as far as we can. */
  #listenForOthers(): void {
    const { wantedBy, order } = this.#world
    const watch = setInterval(() => {
      const attempt = wantedBy()
      if (attempt <= order.attempt) return
      clearInterval(watch)
      void this.#yield(attempt)
    }, yieldEveryMs)
  }

  async #yield(attempt: number): Promise<void> {
    this.#leaving = true
    setTimeout(() => this.#finish('yielded'), termLimitMs)
    this.#armed.clear()
    this.#joining.clear()
    const reason = `fault pod ${attempt} of this node looks after it now`
    for (const hold of this.#holds.values()) hold.end({ end: 'lost', reason })
    while (this.#settling.size > 0) await Promise.all(this.#settling)
    // One that is not there yet would wait for us for ever.
    await this.#guarded
    this.#line?.tell('quit')
    this.#finish('yielded')
  }

  /** One line from the runner. */
  command(command: NodeCommand): void {
    const { channel } = this.#world
    // it has one
    if (command.do === 'order') return
    if (command.do === 'hello') channel.hello(command.acknowledged)
    else if (command.do === 'ack') channel.ack(command.seq)
    else if (!this.#ready && (command.do === 'go' || command.do === 'join'))
      this.#early.push(command)
    // Whoever leaves begins nothing: the runner has another pod made for it.
    else if (this.#leaving && (command.do === 'go' || command.do === 'join')) return
    else if (command.do === 'join') void this.#join(command.targets)
    else if (command.do === 'go' && this.#world.order.start === 'sweep')
      this.#refuseToGo(command.targets ?? [])
    else if (command.do === 'go') this.#go(command.holdMs, command.targets)
    else if (command.do === 'stop') this.#stop(command.targets)
    else if (command.do === 'quit') {
      // also while it is leaving by itself: what is stored by the runner needs no journal
      this.#reported = true
      void this.#leave('stop')
    }
    this.#rest()
  }

  /** SIGTERM: everything is put back within a second. */
  term(): void {
    setTimeout(() => this.#finish('owed'), termLimitMs)
    void this.#leave('term')
  }

  /**
   * A program that waits for `go` is armed when its guard is there. One that starts at once does not lose
   * the time in which the runtime makes the guard's container: until then the undo record on the disk, the
   * restart in place and the stressor's own limit stand in, and a guard that does not come ends the hold.
   */
  async #arm(): Promise<void> {
    const { order, journal, limits } = this.#world
    const found = order.start === 'sweep' ? [] : this.#find(order.targets)
    const fifo = join(journal.dir, `guard-${order.attempt}`)
    const opening = openGuardLine(fifo, limits.guardMs).then(
      (opened) => {
        this.#line = opened
        return null
      },
      (thrown: unknown) => thrown,
    )
    this.#guarded = opening
    if (found.length === 0) return
    const absent = order.start === 'wait' ? await opening : null
    if (order.start === 'now') void opening.then((thrown) => thrown && this.#unguarded(thrown))
    this.#armAll(found, absent)
  }

  /** `absent`: why there is no guard, without which nothing is armed. */
  #armAll(found: readonly Looked[], absent: unknown): void {
    const { channel } = this.#world
    CRASH: reach('program/arming')
    for (const { target, result } of found) {
      // told to stop while the guard was waited for
      if (this.#settled.has(target.id)) continue
      try {
        if (absent) throw absent
        if ('thrown' in result) throw result.thrown
        this.#armed.set(target.id, result.value.place)
        channel.emit({ event: 'armed', target: target.id, facility: result.value.facility })
        CRASH: reach('program/armed')
      } catch (thrown) {
        this.#settled.add(target.id)
        channel.emit({ event: 'refused', target: target.id, ...troubleOf(thrown) })
      }
    }
  }

  /** What comes after the start: armed and injected at once, each for its own hold. */
  async #join(targets: readonly (NodeTarget & { holdMs: number })[]): Promise<void> {
    const ids = targets.map(({ id }) => id)
    if (this.#world.order.start === 'sweep') return this.#refuseToGo(ids)
    for (const id of ids) this.#joining.add(id)
    const absent = await this.#guarded
    const found = this.#find(targets.filter(({ id }) => this.#joining.delete(id)))
    this.#armAll(found, absent)
    for (const [holdMs, group] of Map.groupBy(found, ({ target }) => target.holdMs))
      this.#go(
        holdMs,
        group.map(({ target }) => target.id),
      )
    this.#rest()
  }

  #find<Target extends NodeTarget>(targets: readonly Target[]): Looked<Target>[] {
    const { order, hands, find } = this.#world
    const look = (target: NodeTarget) => {
      const fault = this.#fault
      const place = find(target, { byPod: fault.outlivesContainers ?? false })
      const params = fault.params(order.params)
      return { place, facility: fault.facility({ ...place, mark: '' }, hands, params) }
    }
    const isKnown = (id: string) =>
      this.#settled.has(id) || this.#sweeping.has(id) || this.#holds.has(id)
    return targets
      .filter(({ id }) => !isKnown(id))
      .map((target) => ({ target, result: attempt(() => look(target)) }))
  }

  get #fault(): AnyNodeFault {
    const { fault, order } = this.#world
    if (!fault) throw new NodeTrouble('HELPER_ERROR', `This pod does not inject ${order.fault}.`)
    return fault
  }

  #unguarded(thrown: unknown): void {
    const { reason } = troubleOf(thrown)
    for (const hold of this.#holds.values()) hold.end({ end: 'lost', reason })
    this.#stop(undefined)
  }

  /** Plans all, writes the plans down durably, then acts on all at once. */
  #go(holdMs: number, targets: readonly string[] | undefined): void {
    const { order, hands, journal, channel, now, begun } = this.#world
    const chosen = this.#takeArmed(targets)
    if (chosen.length === 0) return
    const fault = this.#fault
    const params = fault.params(order.params)
    // strictly increasing within the journal, also over a restart
    this.#goes = Math.max(this.#goes + 1, now())
    const file = `go-${this.#goes}.sh`
    CRASH: reach('program/go')
    let planned: Planned[]
    let guardAt: number
    try {
      planned = chosen.map((place, index): Planned => {
        const mark = `${order.run}/${order.task}/${this.#goes}/${index}`
        const found: FoundTarget = { ...place, mark }
        return { found, plan: fault.plan(found, { params, holdMs }, hands) }
      })
      // from here on: on a slow node the plans take their time
      guardAt = bootMs() + holdMs + latestStartMs + guardMarginMs
      CRASH: reach('program/planned')
      const undos = planned.map(({ plan }) => fault.undo(plan))
      journal.open(file, undoScript({ fault: fault.id, guardAt, planned }, bootId(), undos))
      begun.mark()
      CRASH: reach('program/journalled')
    } catch (thrown) {
      const { code, reason } = troubleOf(thrown)
      // what was half written undoes what was never done
      journal.done(file)
      for (const { id } of chosen) {
        this.#settled.add(id)
        channel.emit({
          event: 'inject-failed',
          target: id,
          code,
          reason: `Nothing was injected, because the undo record could not be made in ${journal.dir} on the node: ${reason}`,
        })
      }
      return
    }
    // From here on the record stays whatever happens: what breaks now ends the program, and the guard undoes it.
    this.#inject({ file, guardAt }, planned, holdMs)
  }

  /** Those that are to be hit now; what has ended since it was armed is refused. */
  #takeArmed(targets: readonly string[] | undefined): Omit<FoundTarget, 'mark'>[] {
    const { hands, channel } = this.#world
    const asked = [...this.#armed.values()].filter(({ id }) => !targets || targets.includes(id))
    for (const { id } of asked) this.#armed.delete(id)
    return asked.filter(({ id, pid, startTicks }) => {
      const first = hands.process(pid)
      if (first?.startTicks === startTicks && first.state !== 'Z') return true
      this.#settled.add(id)
      const thrown = new TargetGone(
        `${id} has ended or restarted since it was armed; nothing was done to it.`,
      )
      channel.emit({ event: 'refused', target: id, ...troubleOf(thrown) })
      return false
    })
  }

  #inject(
    { file, guardAt }: Pick<OpenGo, 'file' | 'guardAt'>,
    planned: Planned[],
    holdMs: number,
  ): void {
    const { hands, channel, journal, now, monotonic } = this.#world
    const world = {
      fault: this.#fault,
      hands,
      now,
      monotonic,
      emit: (event: Parameters<Channel['emit']>[0]) => void channel.emit(event),
      guardNote: () => journal.guardWord(file),
      tooLate: () => bootMs() >= guardAt,
    }
    const holds = planned.map((one) => new Hold(world, one, { holdMs, many: planned.length }))
    for (const hold of holds) hold.inject()
    CRASH: reach('program/injected')
    for (const hold of holds) this.#holds.set(hold.target, hold)
    const settling = Promise.all(holds.map((hold) => this.#settle(hold))).then(() => {
      CRASH: reach('program/all-reported')
      journal.done(file)
      CRASH: reach('program/record-gone')
      this.#settling.delete(settling)
      this.#rest()
    })
    this.#settling.add(settling)
  }

  async #settle(hold: Hold): Promise<void> {
    await hold.settle()
    this.#holds.delete(hold.target)
    this.#settled.add(hold.target)
  }

  #stop(targets: readonly string[] | undefined, end: HoldEnd = 'stop'): void {
    const { channel, order } = this.#world
    const named = (id: string) => !targets || targets.includes(id)
    for (const [id, hold] of this.#holds) if (named(id)) hold.end({ end })
    // A pod that is taken away before it has injected is replaced by one that does.
    if (end === 'term') {
      this.#joining.clear()
      return
    }
    const touched = order.targets.filter((target) => target.touched).map(({ id }) => id)
    for (const id of targets ?? [...order.targets.map((target) => target.id), ...this.#joining]) {
      if (this.#holds.has(id) || this.#settled.has(id)) continue
      // of what an earlier program did, more is said when it is put back
      if (this.#sweeping.has(id) || (touched.includes(id) && !this.#ready)) continue
      this.#armed.delete(id)
      this.#joining.delete(id)
      this.#settled.add(id)
      const proof = 'nothing was injected'
      channel.emit({ event: 'reverted', target: id, why: end, heldMs: 0, proof, untouched: true })
    }
  }

  async #leave(end: HoldEnd): Promise<void> {
    const { channel, journal } = this.#world
    CRASH: reach('program/leaving')
    this.#leaving = true
    this.#stop(undefined, end)
    while (this.#settling.size > 0) await Promise.all(this.#settling)
    CRASH: reach('program/settled')
    const clean = journal.openGos().length === 0
    if (clean && !this.#reported) journal.close()
    CRASH: reach('program/closed')
    this.#line?.tell('quit')
    CRASH: reach('program/guard-sent-home')
    if (!clean) return this.#finish('owed')
    const isKnown = this.#reported || channel.allAcknowledged
    if (isKnown) journal.remove()
    CRASH: reach('program/removed')
    this.#finish(isKnown ? 'removed' : 'kept')
  }

  /** Ends by itself when nobody speaks to it: armed for `armedForMs`, settled for the retention. */
  #rest(): void {
    clearTimeout(this.#timer)
    if (this.#holds.size > 0 || !this.#ready) return
    const { order, limits, channel } = this.#world
    const waiting = this.#armed.size > 0
    this.#timer = setTimeout(
      () => {
        const text = waiting
          ? `no order within ${order.armedForMs} ms of arming: ending`
          : 'nobody fetched the report: ending; the journal stays on the node until it is swept'
        channel.emit({ event: 'log', level: 'warn', text })
        void this.#leave('stop')
      },
      waiting ? order.armedForMs : limits.retentionMs,
    )
  }
}

function attempt<T>(work: () => T): { value: T } | { thrown: unknown } {
  try {
    return { value: work() }
  } catch (thrown) {
    return { thrown }
  }
}
