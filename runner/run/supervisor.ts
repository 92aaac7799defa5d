import type { Cache } from '../../lib/kube/store.ts'
import type { Log } from '../../lib/log.ts'
import { abandonAnnotation } from '../../model/abandon.ts'
import { compile } from '../../model/compile/compile.ts'
import { documentMark } from '../../model/document-mark.ts'
import { isDryRun } from '../../model/dry-run.ts'
import { haltRefusal } from '../../model/halt.ts'
import type { Plan, Refusal } from '../../model/plan.ts'
import { protectedTargets } from '../../model/protection.ts'
import { unreadableText } from '../../model/read-run.ts'
import { maxRunBytes, roomFor } from '../../model/snapshot.ts'
import type { RunState } from '../../model/state.ts'
import { fetchRun } from '../report/kserver.ts'
import type { Census } from './census.ts'
import { claim, claimOf, letGo, sameIdentity } from './claim.ts'
import type { RunnerContext } from './context.ts'
import { endOf, planOfRecord, unknownFaults } from './edited.ts'
import { refusedRecord, StatusKeeper } from './keeper.ts'
import { rehearse, tellRehearsal } from './rehearse.ts'
import { type Experiment, type Kind, type Resource, resourceOf } from './resource.ts'
import { Run } from './run.ts'
import { findingOf, isEcho, newRun, refusedRun, tooLarge } from './start.ts'

/** How often resources without a living runner are looked at again, milliseconds; no request is made for it. */
const lookMs = 500
const seeds = 2 ** 31
/** A dry run has this long, milliseconds; then it is tried again. */
const rehearsalMs = 60_000
/** A control plane that answers does so within this, milliseconds. */
const kserverWaitMs = 500

const alreadyRun = (runId: string): Refusal => ({
  path: 'spec.experimentRunId',
  reason: `run ${runId} has been carried out already, says kserver`,
  suggestion: 'use a new id, or leave it empty',
})

type Complaint = { reason: string; note: string }
const unreadable = (why: string): Complaint => ({
  reason: 'RecordUnreadable',
  note: unreadableText(why),
})

/** Another version began it: this one could neither carry it on nor put back what it holds. */
const unknownFaultsText = (faults: string[]): Complaint => ({
  reason: 'FaultUnknown',
  note: `This version of the runner does not know the fault ${faults.join(', ')} of a run that is under way, so nothing is done with it. A runner of the version that began it carries it on (helm upgrade); status.run says what is held, and the annotation ${abandonAnnotation} gives it up.`,
})

type Followed = { kind: Kind; cache: Cache<Experiment> }
type Busy = { run: Run | null; ended: Promise<void> }

/** Follows all experiments: begins new runs, adopts those whose runner is dead, tells living ones what they must hear. */
export class Supervisor {
  #context: RunnerContext
  #census: Census
  #followed: Followed[]
  #busy = new Map<string, Busy>()
  /** resources that this runner has finished, by uid: older echoes of their state are not news */
  #finished = new Map<string, string>()
  /** why a resource is left alone, as it was told, by uid */
  #complained = new Map<string, string>()
  #closing = false
  #log: Log

  constructor(context: RunnerContext, census: Census, followed: Followed[]) {
    this.#context = context
    this.#census = census
    this.#followed = followed
    this.#log = context.log
  }

  /** Works until the signal comes, then hands every run over. */
  async run(signal: AbortSignal): Promise<void> {
    const leave = this.#followed.map(({ kind, cache }) =>
      cache.onChange((change) => {
        if (change.type === 'deleted') this.#forget(change.object)
        else this.#look(kind, change.object)
      }),
    )
    leave.push(
      this.#context.killSwitch.onChange(() => {
        for (const { run } of this.#busy.values()) run?.heedSwitch()
      }),
    )
    while (!signal.aborted) {
      for (const { kind, cache } of this.#followed)
        for (const object of cache.list()) this.#look(kind, object)
      await this.#context.clock.sleep(lookMs, signal).catch(() => {})
    }
    this.#closing = true
    for (const off of leave) off()
    await Promise.all(
      [...this.#busy.values()].map(async ({ run, ended }) => {
        await run?.handOver()
        await ended
      }),
    )
  }

  get running(): number {
    return this.#busy.size
  }

  #forget(object: Experiment): void {
    this.#finished.delete(object.metadata.uid)
    this.#complained.delete(object.metadata.uid)
    this.#busy.get(object.metadata.uid)?.run?.see({
      ...object,
      metadata: {
        ...object.metadata,
        deletionTimestamp: object.metadata.deletionTimestamp ?? 'gone',
      },
    })
  }

  #look(kind: Kind, object: Experiment): void {
    const { uid } = object.metadata
    const busy = this.#busy.get(uid)
    if (busy) {
      busy.run?.see(object)
      return
    }
    if (this.#closing || this.#isEcho(object)) return
    const finding = findingOf(object)
    if (finding.do === 'nothing') return
    if (finding.do === 'complain') {
      this.#complain(kind, object, unreadable(finding.why))
      return
    }
    if (!this.#isFree(object)) return
    const work = (): Promise<void> => {
      if (finding.do === 'begin') return this.#beginAgain(kind, object, finding.previousRunIds)
      if (finding.do === 'carry-on') return this.#carryOn(kind, object, finding.state)
      const resource = resourceOf(kind, object)
      return letGo(this.#context.kube, { resource, seen: null }, AbortSignal.timeout(10_000))
    }
    // Nothing is waited for by what the clock has said: it may follow a step of the machine's.
    if (this.#busy.size === 0) this.#context.clock.anchor()
    const entry: Busy = { run: null, ended: Promise.resolve() }
    this.#busy.set(uid, entry)
    entry.ended = work()
      .catch((error: unknown) =>
        this.#log.error({ err: error, experiment: object.metadata.name }, 'a run could not begin'),
      )
      .finally(() => this.#busy.delete(uid))
  }

  /** The cache may still show the state before our last write. */
  #isEcho(object: Experiment): boolean {
    const finished = this.#finished.get(object.metadata.uid)
    return finished !== undefined && isEcho(object, finished, this.#context.me)
  }

  /** Nobody holds it, or who did is dead. */
  #isFree(object: Experiment): boolean {
    const holder = claimOf(object)
    if (!holder || sameIdentity(holder, this.#context.me)) return true
    return this.#census.look(holder, this.#context.namespace) === 'dead'
  }

  /** Says once of each reason why a resource is left alone. */
  #complain(kind: Kind, object: Experiment, { reason, note }: Complaint): void {
    const { uid, name, namespace, resourceVersion } = object.metadata
    if (this.#complained.get(uid) === note) return
    this.#complained.set(uid, note)
    this.#log.error({ experiment: name, namespace }, note)
    const { apiVersion } = resourceOf(kind, object)
    const metadata = { uid, name, resourceVersion, ...(namespace ? { namespace } : {}) }
    const regarding = { apiVersion, kind, metadata }
    this.#context.events.record({ regarding, type: 'Warning', reason, note })
  }

  /** Of a resource that has run before, the cache keeps the ids only: it is read anew. */
  async #beginAgain(kind: Kind, seen: Experiment, previousRunIds: string[]): Promise<void> {
    if (previousRunIds.length === 0) return this.#begin(kind, seen, [])
    const { kube } = this.#context
    const { path, uid } = resourceOf(kind, seen)
    const object = await kube.find<Experiment>(path, { signal: AbortSignal.timeout(10_000) })
    if (object?.metadata.uid === uid) await this.#begin(kind, object, previousRunIds)
  }

  async #begin(kind: Kind, object: Experiment, previousRunIds: string[]): Promise<void> {
    const context = this.#context
    const resource = resourceOf(kind, object)
    const compiled = compile(kind, object, context.faults)
    const wanted = compiled.ok ? compiled.plan.runId : ''
    const birth = {
      runId: wanted || (kind === 'ChaosExperiment' ? resource.uid : context.newId()),
      runner: context.me.pod,
      instance: context.me.instance,
      generation: object.metadata.generation ?? 1,
      document: documentMark(kind, object),
      seed: Math.floor(context.random() * seeds),
      at: context.clock.now(),
      previousRunIds,
    }
    const room = roomFor({ ...object, status: undefined })
    const refusals = compiled.ok ? tooLarge(compiled.plan, room) : compiled.refusals
    if (!compiled.ok || refusals.length > 0)
      return this.#refuse(resource, object, refusedRun(refusals, birth))
    const halted = context.killSwitch.reason()
    if (halted !== null) {
      const why = haltRefusal(halted, context.namespace)
      return this.#refuse(resource, object, refusedRun([why], birth, 'Halted'))
    }
    const guarded = protectedTargets(compiled.plan, context.protection.namespaces)
    if (guarded.length > 0)
      return this.#refuse(resource, object, refusedRun(guarded, birth, 'Protected'))
    if (isDryRun(object.metadata.annotations)) {
      const signal = AbortSignal.timeout(rehearsalMs)
      const born = newRun(compiled.plan, birth)
      const parts = { context, plan: compiled.plan, resource, signal }
      const state = await rehearse(born, parts)
      const told = await tellRehearsal(context.kube, { resource, object, state, room }, signal)
      if (told) this.#finished.set(resource.uid, state.runId)
      return
    }
    const known = wanted ? await this.#knownRun(compiled.plan) : null
    if (known?.completed)
      return this.#refuse(resource, object, refusedRun([alreadyRun(wanted)], birth))
    const state = { ...newRun(compiled.plan, birth), notifyId: known?.notifyId ?? '' }
    // Claimed now, it would be carried to its end by a runner that is to end.
    if (this.#closing) return
    this.#finished.delete(resource.uid)
    await this.#carry(
      new Run({ context, plan: compiled.plan, resource, object, state, adopted: false, room }),
      object,
    )
  }

  /** What the control plane knows of a run that it started; one that does not answer is not waited for. */
  async #knownRun(plan: Plan): Promise<{ notifyId: string; completed: boolean } | null> {
    const { kserver, peers } = this.#context
    if (!kserver) return null
    const which = { infra: peers.infraId, experimentId: plan.experimentId, runId: plan.runId }
    const limit = AbortSignal.timeout(kserverWaitMs)
    const answer = await fetchRun(kserver, { ...which, scope: peers.scope }, limit).catch(
      () => null,
    )
    return answer?.found ? answer.run : null
  }

  async #carryOn(kind: Kind, object: Experiment, state: RunState): Promise<void> {
    const context = this.#context
    const resource = resourceOf(kind, object)
    if (state.refused) return this.#refuse(resource, object, state)
    const compiled = compile(kind, object, context.faults)
    if (this.#closing) return
    const room = roomFor({ ...object, status: undefined })
    const parts = { context, resource, object, state, adopted: true, room }
    const known = endOf(state, documentMark(kind, object), compiled)
    if (compiled.ok && known.length === 0)
      return this.#carry(new Run({ ...parts, plan: compiled.plan }), object)
    const unknown = unknownFaults(state, context.faults)
    if (unknown.length > 0) return this.#complain(kind, object, unknownFaultsText(unknown))
    const plan = planOfRecord(state, { resource, object, faults: context.faults })
    await this.#carry(new Run({ ...parts, plan, known }), object)
  }

  async #carry(run: Run, object: Experiment): Promise<void> {
    const { uid } = object.metadata
    const entry = this.#busy.get(uid)
    if (entry) entry.run = run
    const end = await run.ended
    if (end === 'finished') this.#finished.set(uid, run.runId)
    // A claim that lost its race, or a run that broke, is looked at again after a moment.
    else if (end === 'lost') await this.#pause()
  }

  /** Claims the resource, writes why its document was refused, and lets it go: there is nothing to run. */
  async #refuse(resource: Resource, object: Experiment, state: RunState): Promise<void> {
    const context = this.#context
    const signal = AbortSignal.timeout(60_000)
    const claimed = claim(context.kube, { resource, object, me: context.me }, signal).then((o) =>
      keeper.saw(o),
    )
    const keeper: StatusKeeper = new StatusKeeper({
      kube: context.kube,
      resource,
      me: context.me,
      clock: context.clock,
      log: this.#log,
      claimed,
      onLoss: (why) =>
        this.#log.warn({ why, experiment: resource.name }, 'a refusal was not written'),
      room: maxRunBytes,
      onRefused: (why) => context.events.record(refusedRecord(resource, why)),
    })
    try {
      await claimed
      keeper.offer(state)
      await keeper.durable(signal)
      await letGo(context.kube, { resource, seen: null }, signal)
      this.#finished.set(resource.uid, state.runId)
    } finally {
      keeper.close('the refusal is written')
    }
  }

  async #pause(): Promise<void> {
    await this.#context.clock.sleep(lookMs, AbortSignal.timeout(lookMs * 2)).catch(() => {})
  }
}
