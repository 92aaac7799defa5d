import { createHash } from 'node:crypto'
import type { Clock } from '../../lib/clock.ts'
import type { KubeClient } from '../../lib/kube/client.ts'
import { isAlreadyExists } from '../../lib/kube/errors.ts'
import { pods, resourcePath } from '../../lib/kube/paths.ts'
import type { Cache } from '../../lib/kube/store.ts'
import type { Log } from '../../lib/log.ts'
import { ChaosError } from '../../model/errors.ts'
import type { NodeCommand, NodeEvent, NodeLine, NodeOrder } from '../../model/fault-pod.ts'
import { faultContainer, journalFolder } from '../../model/fault-pod-spec.ts'
import { isEnded, recordKey, type TargetState, type TaskState } from '../../model/state.ts'
import type { FactBody } from '../engine/fact.ts'
import { isLeaving } from '../engine/view.ts'
import { factOf } from './node-facts.ts'
import { nodeTarget } from './node-target.ts'
import {
  containerOf,
  isTerminal,
  nodeIsFull,
  type Pod,
  podWhen,
  startTrouble,
} from './pod-cache.ts'

/** A stream to the program in a pod. */
export type Attached = {
  lines: AsyncIterable<string>
  send(line: string): Promise<void>
  close(): void
}
export type Attach = (
  place: { namespace: string; pod: string; container: string },
  signal: AbortSignal,
) => Promise<Attached>

export type SessionParts = {
  kube: KubeClient
  cache: Cache<Pod>
  attach: Attach
  clock: Clock
  log: Log
  namespace: string
  /** `reserve`: whether the pod asks the node for CPU and memory */
  podOf(order: NodeOrder, name: string, how: { reserve: boolean }): object
  /** cleanupPolicy */
  retain: boolean
}
export type SessionLinks = {
  order: NodeOrder
  task(): TaskState
  /** the run is paused: nothing is injected */
  resting(): boolean
  emit(fact: FactBody): void
  durable(signal: AbortSignal): Promise<void>
  stored(signal: AbortSignal): Promise<void>
}

/** A fault pod that does not run by then has failed, milliseconds. */
const startMs = 180_000
const reattachMs = 100
const reattachMaxMs = 2000
/** A pod that vanished with its targets still open is replaced so often. */
const attempts = 5
/** And so often in all, when pauses lie between. */
const mostAttempts = 50
const quitMs = 2000
/** A program that is just starting is waited for before it is told to end: cut off, it would leave its journal. */
const reachMs = 10_000
const goneMs = 60_000

/** The name of the n-th pod for one node of one task: the same for every runner that asks. */
export function podName(order: NodeOrder, attempt: number): string {
  const text = `${order.run}/${order.task}/${order.node}`
  const hash = createHash('sha256').update(text).digest('hex').slice(0, 10)
  return `${order.task.slice(0, 40).replace(/[^a-z0-9-]+/g, '-')}-${hash}-${attempt}`
}

/** The fault pod of one task on one node, from its creation to its end. */
export class NodeSession {
  #parts: SessionParts
  #links: SessionLinks
  #attached: Attached | null = null
  #name: string | null = null
  #armed = new Set<string>()
  #stopping: string | null = null
  #end = new AbortController()
  #running: Promise<void> | null = null
  #armedWaiters: (() => void)[] = []
  #acking = false

  constructor(parts: SessionParts, links: SessionLinks) {
    this.#parts = parts
    this.#links = links
  }

  get node(): string {
    return this.#links.order.node
  }

  /** Begins unless it is under way; a session whose pod has ended begins again with another one. */
  begin(): void {
    if (this.#running) return
    this.#running = this.#run().then(
      () => {
        this.#running = null
      },
      (error: unknown) => this.#fail(error),
    )
  }

  #fail(error: unknown): void {
    if (this.#end.signal.aborted) return
    const reason = error instanceof Error ? error.message : String(error)
    const code = error instanceof ChaosError ? error.code : 'HELPER_ERROR'
    for (const target of this.#open())
      this.#links.emit({
        fact: target.state === 'targeted' ? 'inject-failed' : 'revert-failed',
        task: this.#links.order.task,
        target: recordKey(target),
        trouble: { code, reason, target: target.id },
        remaining: [undoByHand(this.#links.order)],
      } as FactBody)
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
    const { wave } = this.#links.task()
    const sent = this.#mine().filter((t) => t.state === 'targeted' && !t.suspended && t.wave < wave)
    const targets = sent.filter(isFirst).map(recordKey)
    // A pod that started by itself takes no notice; the one that replaces it waits for this.
    if (targets.length > 0)
      await this.#send({ do: 'go', targets, holdMs: this.#links.order.holdMs })
    const joined = sent.flatMap((t) => (t.holdMs ? [{ ...nodeTarget(t), holdMs: t.holdMs }] : []))
    if (joined.length > 0) await this.#send({ do: 'join', targets: joined })
  }

  /** Tells the program to put back what a pause ends. */
  async suspend(): Promise<void> {
    const targets = this.#mine().filter(isLeaving).map(recordKey)
    if (targets.length > 0) await this.#send({ do: 'stop', targets, reason: 'the run is paused' })
  }

  /** Keeps a program that has nothing to do from ending by itself. */
  async greet(): Promise<void> {
    await this.#send({ do: 'ack', seq: this.#acknowledged() })
  }

  async stop(reason: string): Promise<void> {
    this.#stopping = reason
    await this.#sayStop(reason)
  }

  async #sayStop(reason: string): Promise<void> {
    await this.#send({ do: 'stop', reason })
    // The program may never have heard of what joined: only by name it says that nothing was done.
    const joined = this.#open()
      .filter((t) => !isFirst(t))
      .map(recordKey)
    if (joined.length > 0) await this.#send({ do: 'stop', targets: joined, reason })
  }

  /** Ends the pod: nothing of it is left afterwards, unless the experiment wants it retained. */
  async close(signal: AbortSignal): Promise<void> {
    const names = this.#recordedNames()
    if (names.some((name) => this.#isThere(name))) {
      this.begin()
      await this.#quit(signal)
    }
    this.#end.abort(new Error('the task is over'))
    this.#attached?.close()
    await this.#running
    for (const name of names) await this.#remove(name, signal)
  }

  /** Tells the program that everything is stored, so that it forgets its journal and ends. */
  async #quit(signal: AbortSignal): Promise<void> {
    const { cache, namespace } = this.#parts
    const attached = await within(reachMs, signal, (s) => this.#whenAttached(s))
    if (!attached || !this.#name) return
    await this.#links.stored(signal)
    await this.#send({ do: 'ack', seq: this.#acknowledged() })
    const stream = this.#attached
    this.#quitting = true
    if (!stream || !(await this.#send({ do: 'quit' }))) return
    // The program's stream ends with it; a pod that is retained is left to end by itself.
    await within(quitMs, signal, (s) => this.#untilDetached(stream, s))
    const key = `${namespace}/${this.#name}`
    const over = (pod: Pod | undefined): boolean => !pod || isTerminal(pod)
    if (this.#parts.retain) await within(goneMs, signal, (s) => podWhen(cache, key, over, s))
  }

  async #remove(name: string, signal: AbortSignal): Promise<void> {
    const { kube, cache, namespace, retain } = this.#parts
    const key = `${namespace}/${name}`
    const pod = cache.get(key)
    if (retain && pod && isTerminal(pod)) return
    const path = resourcePath({ ...pods, namespace, name })
    // A program that has ended has nothing left to put back.
    const gracePeriodSeconds = pod && isTerminal(pod) ? { gracePeriodSeconds: 0 } : {}
    await kube.remove(path, { signal, ...gracePeriodSeconds }).catch(ignoreNotFound)
    await within(goneMs, signal, (s) => podWhen(cache, key, (p) => !p, s))
  }

  #isThere(name: string): boolean {
    const pod = this.#parts.cache.get(`${this.#parts.namespace}/${name}`)
    return pod !== undefined && !isTerminal(pod)
  }
  #recordedNames(): string[] {
    const recorded = new Set(this.#links.task().pods)
    return this.#names().filter((n) => recorded.has(n))
  }
  #names(): string[] {
    return Array.from({ length: mostAttempts }, (_, i) => podName(this.#links.order, i + 1))
  }
  #quitting = false
  async #untilDetached(stream: Attached, signal: AbortSignal): Promise<true> {
    while (this.#attached === stream) await this.#parts.clock.sleep(10, signal)
    return true
  }
  /** False when there is no program left to attach to. */
  async #whenAttached(signal: AbortSignal): Promise<boolean> {
    while (!this.#attached && this.#recordedNames().some((name) => this.#isThere(name)))
      await this.#parts.clock.sleep(20, signal)
    return this.#attached !== null
  }

  /** Lets go of the stream without ending the pod: another runner will take over. */
  async leave(): Promise<void> {
    this.#end.abort(new Error('handed over'))
    this.#attached?.close()
    await this.#running
  }

  #mine() {
    return this.#links.task().targets.filter((t) => t.node === this.#links.order.node)
  }
  #open() {
    return this.#mine().filter((t) => !isEnded(t))
  }
  #acknowledged(): number {
    return this.#links.task().acknowledged[this.#links.order.node] ?? 0
  }
  #isReady(): boolean {
    // After an adoption the program has told the runner before us that it is armed.
    if (this.#attached && this.#adopted) return true
    return this.#mine().every((t) => this.#armed.has(t.id) || t.state !== 'targeted' || !isFirst(t))
  }
  #adopted = false

  /** Who takes over goes on with the newest pod: it has the journal, and an earlier one beside it would wait for ever. */
  #newest(): number {
    const recorded = this.#links.task().pods
    return Math.max(1, this.#names().findLastIndex((name) => recorded.includes(name)) + 1)
  }

  /** the pod that comes next, from 1 */
  #next = 1

  async #run(): Promise<void> {
    const signal = this.#end.signal
    let reserve = true
    const first = Math.max(this.#next, this.#newest())
    for (let attempt = first; attempt < first + attempts; attempt++) {
      this.#next = attempt + 1
      const { order } = this.#links
      const name = podName(order, attempt)
      this.#name = name
      await this.#create(name, attempt, reserve)
      const pod = await this.#started(name)
      if (pod && !isTerminal(pod)) await this.#serve(name, signal)
      if (this.#quitting) return
      if (this.#open().length === 0 && this.#links.task().chaosAt !== undefined) return
      signal.throwIfAborted()
      const full = pod !== undefined && nodeIsFull(pod)
      if (full) reserve = false
      this.#links.emit({
        fact: 'said',
        task: order.task,
        level: 'warn',
        text: full
          ? `node ${order.node} has nothing to reserve for fault pod ${name} (${pod.status?.reason}); the next one asks for nothing`
          : `fault pod ${name} has gone before its work was done; another one looks after its targets`,
      })
    }
    throw new ChaosError({
      code: 'HELPER_ERROR',
      reason: `${attempts} fault pods on node ${this.#links.order.node} ended before their work was done; look at the events of namespace ${this.#parts.namespace}`,
    })
  }

  async #create(name: string, attempt: number, reserve: boolean): Promise<void> {
    const { kube, namespace, cache } = this.#parts
    const { order, task, emit, durable } = this.#links
    const signal = this.#end.signal
    this.#adopted = task().pods.includes(name)
    if (this.#adopted && cache.get(`${namespace}/${name}`)) return
    emit({ fact: 'pod-created', task: order.task, pod: name })
    await durable(signal)
    // A replacement never injects: it sweeps what the journal holds and reports it.
    const start = attempt === 1 && !this.#links.resting() ? order.start : 'wait'
    const path = resourcePath({ ...pods, namespace })
    const made = { ...order, start, attempt, after: this.#acknowledged() }
    try {
      await kube.create(path, this.#parts.podOf(made, name, { reserve }), { signal })
    } catch (error) {
      if (!isAlreadyExists(error)) throw error
    }
    await within(5000, signal, (s) =>
      podWhen(cache, `${namespace}/${name}`, (p) => p !== undefined, s),
    )
  }

  /** Waits until the program runs; undefined when the pod is gone. */
  async #started(name: string): Promise<Pod | undefined> {
    const { cache, namespace } = this.#parts
    const signal = this.#end.signal
    const pod = await within(startMs, signal, (s) =>
      podWhen(
        cache,
        `${namespace}/${name}`,
        (p) => !p || isTerminal(p) || startTrouble(p) !== null || isRunning(p),
        s,
      ).then((p) => ({ p })),
    )
    if (!pod)
      throw new ChaosError({
        code: 'HELPER_ERROR',
        reason: `fault pod ${namespace}/${name} did not start within ${startMs / 1000} s; kubectl describe it to see why`,
      })
    const trouble = pod.p && !isTerminal(pod.p) ? startTrouble(pod.p) : null
    if (trouble)
      throw new ChaosError({
        code: 'HELPER_ERROR',
        reason: `fault pod ${namespace}/${name} does not start: ${trouble}`,
      })
    return pod.p
  }

  /** Listens until the pod is gone or over; a broken stream is opened again. */
  async #serve(name: string, signal: AbortSignal): Promise<void> {
    const { cache, namespace, attach, clock, log } = this.#parts
    for (let attempt = 0; ; ) {
      const pod = cache.get(`${namespace}/${name}`)
      if (!pod || isTerminal(pod)) return
      signal.throwIfAborted()
      try {
        const place = { namespace, pod: name, container: faultContainer }
        const attached = await attach(place, signal)
        await this.#listen(attached, name)
        attempt = 0
      } catch (error) {
        if (signal.aborted) throw signal.reason
        log.debug({ err: error, pod: name }, 'the stream to the fault pod broke')
      }
      this.#attached = null
      if (this.#quitting) return
      // kubelet takes a moment to say that a container has ended
      await clock.sleep(Math.min(reattachMs * 2 ** attempt++, reattachMaxMs), signal)
    }
  }

  async #listen(attached: Attached, name: string): Promise<void> {
    try {
      await attached.send(JSON.stringify({ do: 'hello', acknowledged: this.#acknowledged() }))
      for await (const text of attached.lines) await this.#hear(attached, text, name)
    } finally {
      attached.close()
    }
  }

  async #hear(attached: Attached, text: string, pod: string): Promise<void> {
    const line = parseLine(text)
    if (!line) return
    if ('hello' in line) {
      this.#attached = attached
      if (this.#stopping) await this.#sayStop(this.#stopping)
      else {
        await this.suspend()
        await this.pushGo()
      }
      this.#wakeArmed()
      return
    }
    if (line.seq <= this.#acknowledged()) return
    this.#take(line, pod)
    if (!this.#acking) void this.#acknowledge()
  }

  #take(event: NodeEvent, pod: string): void {
    const { order, emit } = this.#links
    if (event.event === 'armed') this.#armed.add(event.target)
    const fact = factOf(event, order.task)
    emit({ ...fact, pod })
    emit({ fact: 'acknowledged', task: order.task, node: order.node, seq: event.seq })
    this.#wakeArmed()
  }

  #wakeArmed(): void {
    for (const wake of this.#armedWaiters.splice(0)) wake()
  }

  async #acknowledge(): Promise<void> {
    this.#acking = true
    try {
      const seq = this.#acknowledged()
      await this.#links.stored(this.#end.signal)
      await this.#send({ do: 'ack', seq })
    } catch {
      // The run ends or is handed over: who comes next is told everything again.
    } finally {
      this.#acking = false
    }
  }

  async #send(command: NodeCommand): Promise<boolean> {
    if (!this.#attached) return false
    try {
      await this.#attached.send(JSON.stringify(command))
      return true
    } catch {
      // The stream broke: on the next one the state is told again.
      return false
    }
  }
}

/** Hit with its wave, not after it. */
const isFirst = (target: TargetState): boolean => target.holdMs === undefined

const isRunning = (pod: Pod): boolean =>
  containerOf(pod, faultContainer)?.state?.running !== undefined

function parseLine(text: string): NodeLine | null {
  if (!text.startsWith('{')) return null
  try {
    return JSON.parse(text) as NodeLine
  } catch {
    return null
  }
}

/** What a human runs on the node when no program can: the undo files of the journal. */
const undoByHand = (order: NodeOrder): string =>
  `on node ${order.node}, as root: for f in ${journalFolder(order)}/go-*.sh; do sh "$f"; done`

/** The value, or undefined when the time is up; throws when `signal` aborts. */
async function within<T>(
  ms: number,
  signal: AbortSignal,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T | undefined> {
  const limit = AbortSignal.timeout(ms)
  try {
    return await work(AbortSignal.any([signal, limit]))
  } catch (error) {
    if (signal.aborted || !limit.aborted) throw error
    return undefined
  }
}

function ignoreNotFound(error: unknown): void {
  if (typeof error === 'object' && error && 'status' in error && error.status === 404) return
  throw error
}
