import { reach } from '../../lib/crash.ts'
import type { KubeObject } from '../../lib/kube/types.ts'
import type { Log } from '../../lib/log.ts'
import { haltedBy } from '../../model/halt.ts'
import type { Plan, TaskPlan } from '../../model/plan.ts'
import type { RunState } from '../../model/state.ts'
import type { Actor } from '../actions/actor.ts'
import { createAlone } from '../actions/alone.ts'
import { carryOut } from '../actions/carry-out.ts'
import type { Fact, FactBody } from '../engine/fact.ts'
import { RunLoop } from '../engine/loop.ts'
import { pauseOf } from '../engine/pause.ts'
import { unheard } from '../engine/unheard.ts'
import { findTargetsOf, presentTargets } from '../hands/look.ts'
import { freeAllSlots } from '../hands/slots.ts'
import { createMasker } from '../logs/mask.ts'
import type { ProbeIo } from '../probes/probe-io.ts'
import { secretsOf } from '../probes/secrets.ts'
import { AbandonEar } from './abandon.ts'
import { abortOf, claim, holdOf, letGo, pauseIn } from './claim.ts'
import type { RunnerContext } from './context.ts'
import { Gate } from './gate.ts'
import { goneEnd, goneEvents, goneNote, type Said } from './gone.ts'
import { refusedRecord, StatusKeeper } from './keeper.ts'
import { Projections } from './projections.ts'
import { resolveProbes } from './resolve.ts'
import type { Experiment, Resource } from './resource.ts'
import { mustExist } from './rights.ts'
import { isHeldByApi, shapeOf } from './shapes.ts'

export type RunParts = {
  context: RunnerContext
  plan: Plan
  resource: Resource
  /** as it was seen; the claim is fenced by its resourceVersion */
  object: Experiment
  state: RunState
  adopted: boolean
  /** what is known of it beside its state, before the first decision */
  known?: FactBody[]
  /** bytes that status has for the record */
  room: number
}

export type RunEnd = 'finished' | 'lost' | 'handed-over'

/** One run of one experiment in this runner, from the claim to the moment when the resource is let go. */
export class Run {
  readonly ended: Promise<RunEnd>
  #parts: RunParts
  #log: Log
  #halt = new AbortController()
  #end: RunEnd = 'finished'
  #keeper: StatusKeeper
  #gate: Gate
  #projections: Projections
  #loop: RunLoop | null = null
  #abort: string | null = null
  #seen: Experiment | null = null
  #actor: Actor | null = null
  #probeIos = new Map<string, ProbeIo>()

  constructor(parts: RunParts) {
    this.#parts = parts
    const { context, resource, object, plan, adopted } = parts
    const { kube, events, pulse, clock } = context
    this.#log = context.log.child({ run: parts.state.runId, experiment: resource.name })
    const confirm = (signal: AbortSignal) => this.#keeper.confirm(signal)
    this.#gate = new Gate({ pulse, clock, log: this.#log, halted: this.#halt.signal, confirm })
    const claimed = this.#claim(object)
    // The keeper and everything behind it wait for the claim; its failure is told there.
    claimed.catch(() => {})
    this.#keeper = new StatusKeeper({
      kube,
      resource,
      me: context.me,
      clock,
      log: this.#log,
      claimed,
      onLoss: (why) => this.#lose(why),
      onGone: (why) => this.#endAlone(why),
      room: parts.room,
      onRefused: (why) => this.#endUnrecorded(why),
    })
    this.#projections = new Projections(context.peers, plan, adopted)
    const recorded = () => this.#keeper.durable(this.#halt.signal)
    this.#abandon = new AbandonEar({ kube, events, resource, log: this.#log, recorded })
    this.see(object)
    this.ended = this.#run(claimed)
  }

  get runId(): string {
    return this.#parts.state.runId
  }

  /** Hears what became of the resource: an abort, a deletion, another runner's claim. */
  see(object: Experiment): void {
    // What has been given up is for others to hear.
    if (this.#halt.signal.aborted) return
    const { me } = this.#parts.context
    const hold = holdOf(object, { me, claimed: this.#ownClaim, letting: this.#letting })
    if (hold.is === 'lost') this.#lose(hold.why)
    if (hold.is === 'lost' || hold.is === 'over') return
    this.#seen = object
    // What stands on a resource that is not ours must never become the version that our next write goes by.
    if (hold.is === 'ours') this.#keeper.saw(object)
    this.#heedPause()
    if (this.#loop) this.#abandon.heed(object, this.#loop)
    const by = abortOf(object, object.spec)
    if (by) this.#endEarly(by)
    this.heedSwitch()
  }

  /** The kill switch ends every run, the normal way. */
  heedSwitch(): void {
    const reason = this.#parts.context.killSwitch.reason()
    if (reason !== null) this.#endEarly(haltedBy(reason))
  }

  #endEarly(by: string): void {
    if (this.#abort) return
    this.#abort = by
    this.#loop?.emit({ fact: 'aborted', by })
  }

  /** Pause and resume are what the resource says now, not what happened to it: several of either are fine. */
  #heedPause(): void {
    const fact = this.#loop && this.#pauseFact(this.#loop.state)
    if (fact) this.#loop?.emit(fact)
  }

  #pauseFact(state: RunState): FactBody | null {
    const by = this.#seen && pauseIn(this.#seen)
    if (state.finishedAt !== undefined || state.abort) return null
    if (by && !state.paused) return pauseOf(by, { plan: this.#parts.plan, state, shapeOf })
    const gone = this.#seen?.metadata.deletionTimestamp !== undefined
    if (by || gone || !state.paused) return null
    return { fact: 'resumed', by: `${state.paused.by} no longer set` }
  }
  #abandon: AbandonEar
  #leaveLedger: () => void = () => {}
  /** the answer to our claim */
  #ownClaim: KubeObject | null = null
  /** we take our claim off */
  #letting = false
  /** why there is no resource any more */
  #gone: string | null = null

  /** SIGTERM: the run stays as it is, the next runner carries it on. */
  async handOver(): Promise<void> {
    if (this.#halt.signal.aborted) return
    this.#end = 'handed-over'
    await this.#keeper.durable(AbortSignal.timeout(3000)).catch(() => {})
    if (this.#gone !== null) await this.#endWithin(aloneMs)
    this.#halt.abort(new Error('handed over'))
    await this.ended
  }

  /** There is nobody to hand over to. */
  async #endWithin(ms: number): Promise<void> {
    const pause = this.#parts.context.clock.sleep(ms, this.#halt.signal).catch(() => {})
    await Promise.race([this.ended, pause])
  }

  #lose(why: string): void {
    if (this.#halt.signal.aborted) return
    this.#log.warn({ why }, 'this runner gives the run up')
    this.#end = 'lost'
    // Halting may take its time, for what is under way ends first: nothing of it is written any more.
    this.#keeper.close(why)
    this.#halt.abort(new Error(why))
  }

  /** Nothing is begun that cannot be recorded; what is held is put back, and the resource's Events say why. */
  #endUnrecorded(why: string): void {
    const { context, resource } = this.#parts
    context.events.record(refusedRecord(resource, why))
    this.#loop?.emit({ fact: 'unrecorded', why })
  }

  /** Nobody else knows what is held: it is put back as after any abort, and told where a human may look. */
  #endAlone(why: string): void {
    this.#gone = why
    this.#endEarly('removal of the resource')
    this.#tellAlone(goneNote(this.#state, why))
  }

  #tellAlone({ type, note }: Said): void {
    const { context, resource } = this.#parts
    this.#log.warn({ gone: this.#gone }, note)
    for (const event of goneEvents(resource, { type, note })) context.events.record(event)
  }

  get #state(): RunState {
    return this.#loop?.state ?? this.#parts.state
  }

  async #claim(object: Experiment): Promise<void> {
    const { context, resource } = this.#parts
    try {
      const me = context.me
      this.#ownClaim = await claim(context.kube, { resource, object, me }, this.#halt.signal)
      this.#keeper.saw(this.#ownClaim)
      CRASH: reach('runner/claimed', resource.name)
    } catch (error) {
      this.#lose(`the claim was refused: ${error instanceof Error ? error.message : error}`)
      throw error
    }
  }

  async #run(claimed: Promise<void>): Promise<RunEnd> {
    const signal = this.#halt.signal
    try {
      const loop = await this.#start(signal)
      const how = await loop.run(signal)
      if (how === 'finished') await this.#finish(claimed, signal)
    } catch (error) {
      if (!signal.aborted) {
        this.#log.error({ err: error }, 'the run broke; another attempt follows')
        this.#end = 'lost'
      }
    } finally {
      this.#keeper.close('the run has ended here')
      this.#leaveLedger()
      this.#halt.abort(new Error('the run has ended here'))
      await this.#leaveSessions()
      await this.#closeProbes()
      if (this.#gone !== null) this.#tellAlone(goneEnd(this.#state))
    }
    return this.#end
  }

  async #start(signal: AbortSignal): Promise<RunLoop> {
    const { context, plan, state, adopted, resource } = this.#parts
    const account = { namespace: plan.namespace, name: plan.account ?? context.defaultAccount }
    const resolved = await resolveProbes(context.kube, { plan, account, signal })
    const { hostsProduct } = context.protection
    const looking = (s: AbortSignal) => ({ kube: context.kube, account, signal: s, hostsProduct })
    let exists: Promise<void> | null = null
    const actor: Actor = {
      context,
      clock: context.clock,
      log: this.#log,
      plan,
      resource,
      account,
      signal,
      state: () => loop.state,
      room: this.#parts.room,
      durable: (s) => this.#keeper.durable(s),
      stored: (s) => this.#keeper.stored(s),
      mayAct: (s) => this.#gate.pass(s),
      accountExists: () => {
        exists ??= mustExist(context.kube, account, signal)
        return exists
      },
      probes: resolved.plans,
      probeIo: (task) => this.#probeIo(task, account),
      mask: createMasker(secretsOf([...resolved.plans.values()].flat())),
      strikes: new Map(),
      alone: createAlone(),
      holds: new Map(),
      sessions: new Map(),
      since: new Map(),
      presentTargets: (task, s) => presentTargets(task, looking(s)),
      findTargets: (task, wave, s) =>
        findTargetsOf(task, wave, { ...looking(s), seed: state.seed }),
    }
    this.#actor = actor
    const loop: RunLoop = new RunLoop({
      plan,
      state,
      shapeOf,
      execute: carryOut(actor),
      clock: context.clock,
      observe: (next, fact) => this.#observe(next, fact),
    })
    this.#loop = loop
    this.#leaveLedger = context.ledger.enter(resource.uid, () => loop.state)
    for (const fact of this.#opening(resolved, adopted, state)) loop.emitQuietly(fact)
    const emit = (fact: FactBody) => loop.emitQuietly(fact)
    if (this.#seen) this.#abandon.heed(this.#seen, { state, emit })
    return loop
  }

  /** The facts that stand before the first decision. */
  #opening(
    resolved: Awaited<ReturnType<typeof resolveProbes>>,
    adopted: boolean,
    state: RunState,
  ): FactBody[] {
    const { me } = this.#parts.context
    const { states: probes, notes } = resolved
    const facts: FactBody[] = [{ fact: 'resolved', probes, notes, notifyId: '' }]
    if (adopted) facts.push({ fact: 'adopted', runner: me.pod, instance: me.instance })
    facts.push(...(this.#parts.known ?? []))
    for (const [task, trouble] of resolved.troubles)
      facts.push({ fact: 'prepare-failed', task, trouble, fatal: true })
    if (adopted) facts.push(...unheard(state))
    if (this.#abort) facts.push({ fact: 'aborted', by: this.#abort })
    const paused = this.#pauseFact(state)
    if (paused && !this.#abort) facts.push(paused)
    return facts
  }

  #observe(state: RunState, fact: Fact): void {
    this.#projections.tell(state, fact)
    this.#keeper.offer(this.#projections.reserve(state), state.paused ? soonMs : lazyFor(fact))
    // A verdict, and the stages that people wait for, are not kept waiting.
    if (urgent.has(fact.fact)) void this.#keeper.durable(this.#halt.signal).catch(() => {})
  }

  async #finish(claimed: Promise<void>, signal: AbortSignal): Promise<void> {
    await claimed
    await this.#closeProbes()
    const { context, resource, state, adopted, plan } = this.#parts
    await Promise.race([this.#keeper.durable(signal), this.#mayLeave(signal)])
    // A runner before this one may have died before it gave back what its targets held; what is abandoned never does.
    const forgotten = adopted || this.#loop?.state.abandoned !== undefined
    if (forgotten && plan.tasks.some(({ fault }) => isHeldByApi(shapeOf(fault)))) {
      const where = { kube: context.kube, namespace: context.namespace, signal }
      await freeAllSlots({ uid: resource.uid, runId: state.runId }, where)
    }
    CRASH: reach('runner/finishing', resource.name)
    if (this.#gone !== null) {
      // If it is there after all, it is looked at again.
      this.#end = 'lost'
      return
    }
    this.#letting = true
    await letGo(context.kube, { resource, seen: this.#seen, me: context.me }, signal)
    CRASH: reach('runner/let-go', resource.name)
  }

  /** A resource in deletion does not wait for a record that is refused: everything is put back by now. */
  async #mayLeave(signal: AbortSignal): Promise<void> {
    while (!(this.#keeper.refused && this.#seen?.metadata.deletionTimestamp))
      await this.#parts.context.clock.sleep(500, signal)
  }

  #probeIo(task: TaskPlan, account: { namespace: string; name: string }): ProbeIo {
    const known = this.#probeIos.get(task.name)
    if (known) return known
    const { context, resource, plan } = this.#parts
    const made = context.probeIo({
      namespace: plan.namespace,
      account,
      resource,
      runId: this.runId,
      task: task.name,
      pods: task.pods,
    })
    this.#probeIos.set(task.name, made)
    return made
  }

  async #closeProbes(): Promise<void> {
    const ios = [...this.#probeIos.values()]
    this.#probeIos.clear()
    await Promise.all(
      ios.map((io) => io.commands.close(AbortSignal.timeout(30_000)).catch(() => {})),
    )
  }

  async #leaveSessions(): Promise<void> {
    for (const nodes of this.#actor?.sessions.values() ?? [])
      await Promise.all([...nodes.values()].map((s) => s.leave()))
  }
}

const urgent = new Set<Fact['fact']>(['finished', 'aborted', 'paused', 'resumed'])

/** A runner that is to end has this long for what only it can put back, milliseconds; its pod has 30 s. */
const aloneMs = 15_000

/** Who paused a run waits to see what was put back, milliseconds. */
const soonMs = 300

/** That a struck pod is gone is worth a write of its own only when nothing else comes for a while, milliseconds. */
const lazyFor = (fact: Fact): number => {
  if (fact.fact === 'reverted' || fact.fact === 'acknowledged') return 5000
  // It changes nothing but the log positions that are reserved.
  if (fact.fact === 'said') return 2000
  return fact.fact === 'injected' ? 1000 : soonMs
}
