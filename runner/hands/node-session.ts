import { reach } from '../../lib/crash.ts'
import { ChaosError, troubleOf } from '../../model/errors.ts'
import type { NodeCommand, NodeEvent } from '../../model/fault-pod.ts'
import { nodeTarget } from '../../model/fault-pod-recovery.ts'
import { recordKey, type TargetState } from '../../model/state.ts'
import type { FactBody } from '../engine/fact.ts'
import { holdLeft, isTooLate } from '../engine/pause.ts'
import { isLeaving } from '../engine/view.ts'
import { type SessionLinks, type SessionParts, within } from './node-parts.ts'
import { NodePods } from './node-pods.ts'
import { NodeStream, type Talk } from './node-stream.ts'
import {
  factsOfGone,
  factsOfNothing,
  factsOfSilence,
  factsOfTrouble,
  NodeGone,
  openOn,
  whySilent,
} from './node-trouble.ts'

const reattachMs = 100
const reattachMaxMs = 2000
/** A program that runs and cannot be spoken to for so long is told of. */
const silenceMs = 30_000
const quitMs = 2000
/** A program that has run is spoken to before its pod goes: cut off, it would leave its journal. */
const reachMs = 15_000
/** One that is just starting is given so long before its pod is taken away unheard. */
const startMs = 1500
const firstRetryMs = 500
const slowestRetryMs = 30_000

type Stop = Extract<NodeCommand, { do: 'stop' }>

/** Hit with its wave, not after it. */
const isFirst = (target: TargetState): boolean => target.holdMs === undefined

/** What one task does on one node, from its first fault pod to the last. */
export class NodeSession {
  #parts: SessionParts
  #links: SessionLinks
  #pods: NodePods
  #stream: NodeStream
  #armed = new Set<string>()
  /** what the program was told to stop, to be told again on the next stream */
  #stopping: Stop | null = null
  #end = new AbortController()
  #running: Promise<void> | null = null
  #armedWaiters: (() => void)[] = []
  /** a runner before us began this: its program has told it what is armed */
  #adopted: boolean
  /** its pod, in which nothing has ever run, is being taken away: no other one is to come */
  #callingOff = false
  /** all is reported: the journal is to go */
  #closing = false
  /** the program that spoke last has ended in order: the journal is gone */
  #bye = false
  /** the node is no longer in the cluster: no kubelet ends its pods any more */
  #nodeGone = false
  /** since when a program that runs has not answered */
  #silent: { name: string; since: number } | null = null
  #toldSilence = ''

  constructor(parts: SessionParts, links: SessionLinks) {
    this.#parts = parts
    this.#links = links
    this.#pods = new NodePods(parts, links)
    this.#stream = new NodeStream(parts, links, {
      onHello: () => void this.#onHello(),
      onBye: () => {
        this.#bye = true
      },
      onEvent: (event) => this.#onEvent(event),
      orderOf: (pod) => this.#pods.orderOf(pod, this.#end.signal),
      signal: this.#end.signal,
    })
    this.#adopted = this.#pods.mayHaveRun
  }

  get node(): string {
    return this.#links.order.node
  }

  /** Begins, unless it is under way. */
  begin(): void {
    this.#running ??= this.#run()
      .catch((error: unknown) => {
        if (this.#end.signal.aborted) return
        this.#tell(factsOfTrouble('HELPER_ERROR', troubleOf(error).reason, this.#concern()))
      })
      .finally(() => {
        this.#running = null
        this.#wakeArmed()
      })
  }

  /** Resolves when every target of this node is armed or refused. */
  async armed(signal: AbortSignal): Promise<void> {
    if (this.#links.order.start === 'now') return
    while (!this.#isReady()) {
      await new Promise<void>((resolve, reject) => {
        this.#armedWaiters.push(resolve)
        signal.addEventListener('abort', () => reject(signal.reason), { once: true })
        if (signal.aborted) reject(signal.reason)
      })
    }
  }

  /** Tells the program what the state says: waves that are sent are to be injected, and what joined them. */
  async pushGo(): Promise<void> {
    if (this.#links.resting()) return
    const targets = this.#sent().filter(isFirst).map(recordKey)
    // A pod that started by itself takes no notice; the one that replaces it waits for this.
    if (targets.length > 0)
      await this.#stream.send({ do: 'go', targets, holdMs: this.#links.order.holdMs })
    await this.#sayJoined()
  }

  /** To be hit by the state, and not known to be. */
  #sent(): TargetState[] {
    const { wave } = this.#links.task()
    return this.#mine().filter((t) => t.state === 'targeted' && !t.suspended && t.wave < wave)
  }

  /** Recorded before they are touched, also when a stream begins in between: who takes over would take them for new. */
  async #sayJoined(): Promise<void> {
    const joined = () => this.#sent().filter((t) => !isFirst(t))
    if (joined().length === 0) return
    const isStored = await this.#links.durable(this.#end.signal).then(
      () => true,
      () => false,
    )
    if (!isStored || this.#links.resting()) return
    const now = this.#parts.clock.now()
    const targets = joined()
      .filter((t) => !isTooLate(t, now))
      .map((t) => ({ ...nodeTarget(t), holdMs: holdLeft(t, now) }))
    if (targets.length > 0) await this.#stream.send({ do: 'join', targets })
  }

  /** Tells the program to put back what a pause ends, and to leave alone what has no time left. */
  async suspend(): Promise<void> {
    const now = this.#parts.clock.now()
    const targets = this.#mine()
      .filter((t) => isLeaving(t) || isTooLate(t, now))
      .map(recordKey)
    if (targets.length === 0) return
    await this.#stream.send({
      do: 'stop',
      targets,
      reason: 'the run is paused, or its time is over',
    })
  }

  /** Keeps a program that has nothing to do from ending by itself. */
  async greet(): Promise<void> {
    await this.#stream.send({ do: 'ack', seq: this.#stream.acknowledged })
  }

  /** Puts back these targets, or all, also those whose turn has not come. */
  async stop(reason: string, targets?: string[]): Promise<void> {
    this.#stopping = { do: 'stop', reason, ...(targets ? { targets } : {}) }
    await this.#sayStop(this.#stopping)
    if (!targets) await this.#callOff(this.#end.signal)
  }

  /** A pod that does not start, and in which nothing has ever run, keeps nobody waiting. */
  async #callOff(signal: AbortSignal): Promise<void> {
    const pods = this.#pods
    await within(startMs, signal, async (s) => {
      while (!this.#stream.attached && !pods.hasRun) await pods.change(startMs, s)
    })
    if (this.#stream.attached || !pods.isStarting || this.#callingOff) return
    this.#callingOff = true
    try {
      if (await pods.withdraw(signal)) this.#tell(factsOfNothing(this.#concern()))
    } finally {
      this.#callingOff = false
    }
    if (this.#isNeeded()) this.begin()
  }

  async #sayStop(stop: Stop): Promise<void> {
    await this.#stream.send(stop)
    if (stop.targets) return
    // The program may never have heard of what joined: only by name it says that nothing was done.
    const joined = this.#open()
      .filter((t) => !isFirst(t))
      .map(recordKey)
    if (joined.length > 0) await this.#stream.send({ ...stop, targets: joined })
  }

  /** Ends the pods: nothing of them is left afterwards, unless the experiment wants them retained. */
  async close(signal: AbortSignal): Promise<void> {
    this.#closing = true
    // What was given up keeps its record on the node, and nobody is waited for.
    const isGivenUp = this.#mine().some((t) => t.state === 'abandoned')
    if (!isGivenUp && this.#pods.isStarting) await this.#callOff(signal)
    if (!isGivenUp && (this.#pods.isAnyAlive || this.#isJournalLeft)) {
      this.begin()
      await this.#quit(signal)
    }
    this.#end.abort(new Error('the task is over'))
    this.#stream.close()
    await this.#running
    await this.#pods.remove({ wait: !isGivenUp, force: this.#nodeGone }, signal)
    if (!isGivenUp && !this.#nodeGone) this.#parts.warm?.replace(this.node)
  }

  /** Lets go of the stream without ending the pod: another runner will take over. */
  async leave(): Promise<void> {
    this.#end.abort(new Error('handed over'))
    this.#stream.close()
    await this.#running
  }

  /**
   * Tells the program that everything is stored, so that it forgets its journal and ends. A stream that breaks before
   * the program has said good-bye may not have carried it: it is told again, also by way of another pod.
   */
  async #quit(signal: AbortSignal): Promise<void> {
    await within(reachMs, signal, async (s) => {
      while (!this.#isOver && (await this.#whenAttached(s))) await this.#sayQuit(s)
    })
    if (this.#isOver && this.#parts.retain) await this.#pods.untilOver(signal)
  }

  async #sayQuit(signal: AbortSignal): Promise<void> {
    const stream = this.#stream.attached
    await this.#links.stored(signal)
    await this.#stream.send({ do: 'ack', seq: this.#stream.acknowledged })
    await this.#stream.send({ do: 'quit' })
    CRASH: reach('runner/quit-sent', this.#links.order.resource.name)
    await within(quitMs, signal, async (s) => {
      while (!this.#isOver && this.#stream.attached === stream) await this.#parts.clock.sleep(10, s)
    })
  }

  /** False when there is no program to attach to, nor a journal for which one is to come. */
  async #whenAttached(signal: AbortSignal): Promise<boolean> {
    while (!this.#stream.attached && this.#running) await this.#parts.clock.sleep(20, signal)
    return this.#stream.attached !== null
  }

  /** A program that was killed has left its record on the node. */
  get #isJournalLeft(): boolean {
    return !this.#isOver && this.#pods.mayHaveRun
  }

  /** The program has ended in order; when its stream broke before it said so, the pod's status does. */
  get #isOver(): boolean {
    return this.#bye || (this.#closing && this.#pods.saidBye)
  }

  #mine(): TargetState[] {
    return this.#links.task().targets.filter((t) => t.node === this.node)
  }

  #open(): TargetState[] {
    return openOn(this.node, this.#links.task())
  }

  #isNeeded(): boolean {
    if (this.#callingOff) return false
    return this.#open().length > 0 || (this.#closing && this.#isJournalLeft)
  }

  #isReady(): boolean {
    if (this.#stream.attached && this.#adopted) return true
    return this.#mine().every(
      (t) => this.#armed.has(recordKey(t)) || t.state !== 'targeted' || !isFirst(t),
    )
  }

  async #run(): Promise<void> {
    const { signal } = this.#end
    for (let failures = 0; ; ) {
      let name: string | null
      try {
        name = await this.#pods.working(() => this.#isNeeded(), signal)
      } catch (error) {
        if (signal.aborted) throw error
        if (!(await this.#withoutPod(error, failures++))) return
        continue
      }
      if (name === null) return
      const talk = await this.#stream.talk(name)
      // One that was taken away ends in order, too: what is still to be done is done by the next.
      if (this.#bye && !this.#isNeeded()) return
      failures = talk.heard ? 0 : failures + 1
      if (!(await this.#isThere(name, talk, failures))) return
      const ms = Math.min(reattachMs * 2 ** failures, reattachMaxMs)
      await this.#pods.change(ms, signal)
    }
  }

  /** Says what it means that there is no pod; false when nothing more can come of it. */
  async #withoutPod(error: unknown, failures: number): Promise<boolean> {
    const { log, clock } = this.#parts
    if (error instanceof NodeGone) {
      this.#tellOfGone(error)
      return false
    }
    if (error instanceof ChaosError) {
      const { code, reason } = troubleOf(error)
      const text = `[Pod]: ${reason}`
      this.#links.emit({ fact: 'said', task: this.#links.order.task, level: 'error', text })
      this.#tell(factsOfTrouble(code, reason, this.#concern()))
      if (!this.#isNeeded()) return false
    } else log.warn({ err: error, node: this.node }, 'a fault pod could not be made; again soon')
    const ms = Math.min(firstRetryMs * 2 ** failures, slowestRetryMs)
    await clock.sleep(ms, this.#end.signal)
    return true
  }

  /** Looks after a program that does not answer; false when its node has gone. */
  async #isThere(name: string, { heard, error }: Talk, failures: number): Promise<boolean> {
    const now = this.#parts.clock.now()
    this.#parts.log.debug({ err: error, pod: name }, 'the stream to the fault pod broke')
    if (heard) this.#silent = null
    else if (this.#silent?.name !== name) this.#silent = { name, since: now }
    try {
      if (this.#silent && now - this.#silent.since > silenceMs)
        await this.#tellOfSilence(name, error)
      else if (failures > 3) await this.#pods.nodeState(this.#end.signal)
      return true
    } catch (thrown) {
      if (!(thrown instanceof NodeGone)) throw thrown
      this.#tellOfGone(thrown)
      return false
    }
  }

  async #tellOfSilence(name: string, error: unknown): Promise<void> {
    const { signal } = this.#end
    const seen = await this.#pods.look(name, signal)
    // An API server that is away says nothing about the program.
    if (!seen) this.#silent = null
    if (!seen?.pod) return
    const state = await this.#pods.nodeState(signal)
    const why = whySilent(error, this.#parts.namespace)
    const reason = `fault pod ${name} runs on node ${this.node}, but could not be spoken to for ${silenceMs / 1000} s: ${why}${state && `; ${state}`}. What it holds ends at its own deadline on the node`
    if (this.#toldSilence !== name)
      this.#links.emit({
        fact: 'said',
        task: this.#links.order.task,
        level: 'error',
        text: `[Pod]: ${reason}`,
      })
    this.#toldSilence = name
    this.#tell(factsOfSilence(reason, this.#concern()))
  }

  #tellOfGone(gone: NodeGone): void {
    this.#nodeGone = true
    this.#tell(factsOfGone(gone, this.#concern()))
  }

  #concern() {
    const { order, task } = this.#links
    const { mayHaveRun } = this.#pods
    return { order, task: task(), mayHaveRun, now: this.#parts.clock.now() }
  }

  #tell(facts: readonly FactBody[]): void {
    for (const fact of facts) this.#links.emit(fact)
    this.#wakeArmed()
  }

  async #onHello(): Promise<void> {
    this.#silent = null
    // Who speaks has a journal, also when the program before it went in order (its pod was taken away in a pause).
    this.#bye = false
    if (this.#stopping) await this.#sayStop(this.#stopping)
    if (!this.#stopping || this.#stopping.targets) {
      await this.suspend()
      await this.pushGo()
    }
    this.#wakeArmed()
  }

  #onEvent(event: NodeEvent): void {
    if (event.event === 'armed') this.#armed.add(event.target)
    this.#wakeArmed()
  }

  #wakeArmed(): void {
    for (const wake of this.#armedWaiters.splice(0)) wake()
  }
}
