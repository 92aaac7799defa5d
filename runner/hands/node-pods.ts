import { reach } from '../../lib/crash.ts'
import { isAlreadyExists, isForbidden, isNotFound, isRefusal } from '../../lib/kube/errors.ts'
import { nodes, pods, resourcePath } from '../../lib/kube/paths.ts'
import type { KubeObject } from '../../lib/kube/types.ts'
import { ChaosError } from '../../model/errors.ts'
import type { NodeOrder } from '../../model/fault-pod.ts'
import {
  attemptReader,
  hasRun,
  type NextPod,
  newestOf,
  nextPod,
  nodeTarget,
  podName,
  saidBye,
  servedName,
  workOf,
} from '../../model/fault-pod-recovery.ts'
import { isTerminal, nodeIsFull } from '../../model/pod-life.ts'
import { type SessionLinks, type SessionParts, within } from './node-parts.ts'
import { NodeGone, openOn, refusalOf } from './node-trouble.ts'
import { type Pod, podWhen } from './pod-cache.ts'

/** A first fault pod that does not run by then has failed; those that follow have their image there. Milliseconds. */
const startMs = { first: 180_000, later: 30_000 }
/**
 * So long it must have been seen without a gap that nothing runs. An API server that was away shows a pod as it was
 * before; kubelet tells it again within 10 s, and a node whose kubelet does not is called not ready within 50 s.
 */
const sureMs = 60_000
/** Pause between two looks at a pod that is late, milliseconds. */
const lookMs = 5000
const goneMs = 60_000
/** A pod that was made shows in the cache within this, milliseconds. */
const showMs = 5000
const askMs = 5000
/** kubelet lets go of a pod that it has not started within this, milliseconds. */
const withdrawMs = 10_000

type Node = KubeObject & {
  status?: { conditions?: { type: string; status: string; message?: string }[] }
}

/** The fault pods of one task on one node: sees to it that one works, for as long as it is needed. */
export class NodePods {
  #parts: SessionParts
  #links: SessionLinks
  #attemptOf: (name: string) => number
  #reserve = true
  /** the attempt that we made last; `at` until it shows */
  #last: { attempt: number; at?: number } | null = null
  #idleSince: number | null = null
  /** the pod that is starting, and since when */
  #starting = { name: '', since: 0 }
  /** since when it is seen without a gap that nothing has run in it, and that its node would tell */
  #idleSeen: number | null = null
  /** a pod is late, and nobody can tell whether it has started */
  #unsure = false
  /** pods of which trouble was told */
  #told = new Set<string>()
  /** pods in which nothing has run: the API server did not take them, or they were taken away before their start */
  #unborn = new Set<string>()
  #ran = false
  #isOrderSent = false
  /** a run that rested when the pod's name was recorded has no word of chaos on record: it says go when it has */
  #mustWait = false
  /** the fault's parameters with what was looked up for them */
  #found: Record<string, unknown> | null = null

  constructor(parts: SessionParts, links: SessionLinks) {
    this.#parts = parts
    this.#links = links
    this.#attemptOf = attemptReader(links.order)
  }

  get #order(): NodeOrder {
    return this.#links.order
  }

  /** Those that the API shows. */
  all(): Pod[] {
    const { cache, namespace } = this.#parts
    const mine = cache
      .list()
      .filter(({ metadata }) => metadata.namespace === namespace)
      .filter((pod) => this.#attemptOf(servedName(pod)) > 0)
    this.#ran ||= mine.some(hasRun)
    return mine
  }

  /** Whether a program of this task may have run on the node; false is certain. */
  get mayHaveRun(): boolean {
    return this.#unsure || this.#seemsToHaveRun
  }

  get #seemsToHaveRun(): boolean {
    const shown = new Set(this.all().map(servedName))
    const gone = this.#recorded().filter((name) => !shown.has(name) && !this.#unborn.has(name))
    return this.#ran || gone.length > 0
  }

  /** A program of this task is known to have run on the node. */
  get hasRun(): boolean {
    this.all()
    return this.#ran
  }

  /** There is a pod, and nothing says that a program of this task has run on the node yet. */
  get isStarting(): boolean {
    return this.all().length > 0 && !this.#seemsToHaveRun
  }

  /** Whether the program of the newest pod has ended in order, as its container's status says. */
  get saidBye(): boolean {
    const newest = newestOf(this.#order, this.all())
    return newest !== null && newest.attempt >= this.#made && saidBye(newest.pod)
  }

  /** Whether a program is there that could be spoken to. */
  get isAnyAlive(): boolean {
    return this.all().some((pod) => ['starting', 'working', 'down'].includes(workOf(pod).is))
  }

  #recorded(): string[] {
    return this.#links.task().pods.filter((name) => this.#attemptOf(name) > 0)
  }

  /** The highest attempt that may have been made, whoever made it. */
  get #made(): number {
    const recorded = this.#recorded().map((name) => this.#attemptOf(name))
    return Math.max(0, this.#last?.attempt ?? 0, ...recorded)
  }

  /**
   * Something is yet to be injected on a node of which no event was ever heard: the runner before us died between the
   * record of a pod's name and the pod. Whatever was heard says itself what became of the targets.
   */
  get #isUntouched(): boolean {
    const { order, task, ending, resting } = this.#links
    if (ending() || resting() || task().acknowledged[order.node]) return false
    return openOn(order.node, task()).some(
      ({ state, suspended }) => state === 'targeted' && !suspended,
    )
  }

  #next(): NextPod {
    const now = this.#parts.clock.now()
    const made = this.#made
    return nextPod({
      owner: this.#order,
      pods: this.all(),
      made,
      ...(this.#last?.at !== undefined && this.#last.attempt === made
        ? { madeAgoMs: now - this.#last.at }
        : {}),
      idleMs: this.#idleSince === null ? 0 : now - this.#idleSince,
      until: this.#isUntouched ? 'inject' : 'report',
    })
  }

  /**
   * Resolves with the name of a pod whose program works; makes one when nobody else does. Null: none is there, and
   * none is needed. Throws NodeGone, or a ChaosError that says why there is none yet: asked again, it goes on.
   */
  async working(isNeeded: () => boolean, signal: AbortSignal): Promise<string | null> {
    for (;;) {
      signal.throwIfAborted()
      const next = this.#next()
      if (next.do === 'keep' && next.works) {
        this.#idleSince = null
        return next.name
      }
      if (next.do === 'keep') this.#idleSince = null
      else this.#idleSince ??= this.#parts.clock.now()
      if (next.do !== 'keep' && !isNeeded()) return null
      if (next.do === 'create') await this.#create(next.name, next.attempt, signal)
      else await this.change(next.do === 'wait' ? next.inMs : lookMs, signal)
      await this.#complain(signal)
    }
  }

  /** Says once of each pod why it does not start. */
  async #complain(signal: AbortSignal): Promise<void> {
    const newest = newestOf(this.#order, this.all())
    if (!newest) return
    const { pod, attempt } = newest
    const { name } = pod.metadata
    const now = this.#parts.clock.now()
    const work = workOf(pod)
    if (work.is !== 'starting' || this.#starting.name !== name) {
      this.#starting = { name, since: now }
      this.#idleSeen = null
    }
    if (this.#told.has(name)) return
    if (work.is === 'hindered') this.#blame(name, `does not start: ${work.why}`)
    if (work.is !== 'starting') return
    const limitMs = attempt === 1 ? startMs.first : startMs.later
    const waitedMs = now - this.#starting.since
    const mustBeSure = this.#actsUnasked && !this.#seemsToHaveRun
    if (waitedMs <= limitMs - (mustBeSure ? sureMs : 0)) return
    const trouble = mustBeSure ? await this.#watchIdle(name, signal) : ''
    if (waitedMs <= limitMs) return
    const late = `did not start within ${limitMs / 1000} s`
    if (!mustBeSure || this.#isIdleForSure)
      this.#blame(name, `${late}; kubectl describe it to see why`)
    if (!trouble || this.#unsure) return
    this.#unsure = true
    throw this.#trouble(
      name,
      `${late}, as far as can be seen: ${trouble}. It may have started: what it holds ends at its own deadline on the node`,
    )
  }

  /** A program that starts may inject before anybody has spoken to it, or was told to already. */
  get #actsUnasked(): boolean {
    return this.#order.start === 'now' || this.#links.task().wave > 0
  }

  get #isIdleForSure(): boolean {
    return this.#idleSeen !== null && this.#parts.clock.now() - this.#idleSeen >= sureMs
  }

  #blame(name: string, why: string): never {
    this.#told.add(name)
    this.#unsure = false
    throw this.#trouble(name, why)
  }

  #trouble(name: string, why: string): ChaosError {
    const { namespace } = this.#parts
    return new ChaosError({
      code: 'HELPER_ERROR',
      reason: `fault pod ${namespace}/${name} ${why}`,
    })
  }

  /** Looks whether nothing runs in a pod, and whether its node would tell; gives what is wrong with the node. */
  async #watchIdle(name: string, signal: AbortSignal): Promise<string> {
    const seen = await this.look(name, signal)
    this.#ran ||= seen?.pod !== undefined && hasRun(seen.pod)
    const trouble = seen?.pod ? await this.#readNode(signal) : null
    if (this.#ran || trouble !== '') this.#idleSeen = null
    else this.#idleSeen ??= this.#parts.clock.now()
    return this.#ran ? '' : (trouble ?? '')
  }

  /** Resolves when one of our pods changes, or after `ms`. */
  async change(ms: number, signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<true>()
    const leave = this.#parts.cache.onChange(({ object }) => {
      if (this.#attemptOf(servedName(object)) > 0) resolve(true)
    })
    const over = new AbortController()
    try {
      const limit = this.#parts.clock.sleep(ms, AbortSignal.any([signal, over.signal]))
      limit.catch(() => {})
      await Promise.race([promise, limit])
    } finally {
      leave()
      over.abort()
    }
  }

  async #create(name: string, attempt: number, signal: AbortSignal): Promise<void> {
    const { order, emit, durable, resting, mayAct } = this.#links
    if (attempt > 1) await this.#takePlace(name, signal)
    const params = await this.#params({ must: attempt === 1 }, signal)
    this.#mustWait = resting()
    // The name of one that has gone unheard is forgotten with the next one.
    this.#ran ||= this.#seemsToHaveRun
    emit({ fact: 'pod-created', task: order.task, pod: name })
    await durable(signal)
    CRASH: reach('runner/pod-recorded', this.#links.order.resource.name)
    // A pod may inject by itself, on no record, where another runner has ended the run meanwhile.
    await mayAct(signal)
    const warm = attempt === 1 ? await this.#parts.warm?.claim(order, signal) : undefined
    const pod = warm ?? (await this.#make(name, { ...this.#orderFor(attempt), params }, signal))
    CRASH: reach('runner/pod-created', this.#links.order.resource.name)
    await this.#seen(pod, attempt, signal)
  }

  /** Makes a pod for the order. One of this name that another creator has made is the same. */
  async #make(name: string, order: NodeOrder, signal: AbortSignal): Promise<string> {
    const { kube, namespace } = this.#parts
    const pod = this.#parts.podOf(order, name, { reserve: this.#reserve })
    try {
      await kube.create(resourcePath({ ...pods, namespace }), pod, { signal })
    } catch (error) {
      if (isRefusal(error)) {
        this.#unborn.add(name)
        throw refusalOf(error, namespace)
      }
      if (!isAlreadyExists(error)) throw error
    }
    return name
  }

  /** Waits until the pod that was made, or claimed, shows as ours. */
  async #seen(name: string, attempt: number, signal: AbortSignal): Promise<void> {
    const { namespace, cache, clock } = this.#parts
    this.#last = { attempt, at: clock.now() }
    const key = `${namespace}/${name}`
    const isOurs = (pod: Pod | undefined): boolean =>
      pod !== undefined && this.#attemptOf(servedName(pod)) === attempt
    const shown = await within(showMs, signal, (s) => podWhen(cache, key, isOurs, s))
    if (shown) this.#last = { attempt }
  }

  /** The order that this pod is still to be given; null for one that was made with it. */
  async orderOf(name: string, signal: AbortSignal): Promise<NodeOrder | null> {
    const pod = this.all().find(({ metadata }) => metadata.name === name)
    if (!pod || servedName(pod) === name) return null
    const order = this.#orderFor(1)
    // Told again, it finds a program that has it, or one that is to be told what to do.
    const start = this.#isOrderSent ? 'wait' : order.start
    this.#isOrderSent = true
    return { ...order, start, params: this.#found ?? (await this.#params({ must: false }, signal)) }
  }

  /** What may have something to put back is sent in any case. */
  async #params(
    { must }: { must: boolean },
    signal: AbortSignal,
  ): Promise<Record<string, unknown>> {
    try {
      this.#found = await this.#links.params(signal)
      return this.#found
    } catch (error) {
      if (signal.aborted || must) throw error
      const { log } = this.#parts
      log.warn({ err: error, node: this.#order.node }, 'a fault pod comes without addresses')
      return this.#order.params
    }
  }

  /** Before a pod takes another one's place. */
  async #takePlace(name: string, signal: AbortSignal): Promise<void> {
    const { order, emit } = this.#links
    const before = newestOf(order, this.all())?.pod
    await this.nodeState(signal)
    const full = before !== undefined && nodeIsFull(before)
    if (full) this.#reserve = false
    const text = full
      ? `node ${order.node} has nothing to reserve for fault pod ${before.metadata.name} (${before.status?.reason}); the next one asks for nothing`
      : `no fault program is at work on node ${order.node}${before ? ` (${before.metadata.name})` : ''}; ${name} looks after its targets`
    emit({ fact: 'said', task: order.task, level: 'warn', text })
  }

  /** What takes the place of a lost pod never starts by itself, and never injects what was injected. */
  #orderFor(attempt: number): NodeOrder {
    const { order, task, resting } = this.#links
    const after = task().acknowledged[order.node] ?? 0
    const start = this.#mustWait || resting() ? 'wait' : order.start
    if (attempt === 1) return { ...order, start, attempt, after }
    // what joined its wave later and was not touched yet is told by an order of its own
    const open = openOn(order.node, task()).filter(
      ({ state, holdMs }) => state !== 'targeted' || holdMs === undefined,
    )
    return { ...order, targets: open.map(nodeTarget), start: 'wait', attempt, after }
  }

  /** What is wrong with the node, in words; empty when nothing is known. Throws NodeGone. */
  async nodeState(signal: AbortSignal): Promise<string> {
    return (await this.#readNode(signal)) ?? ''
  }

  /** The same; null when it cannot be looked at. Without the right to look at nodes nothing is wrong with it. */
  async #readNode(signal: AbortSignal): Promise<string | null> {
    const { node } = this.#order
    try {
      const path = resourcePath({ ...nodes, name: node })
      const found = await this.#parts.kube.get<Node>(path, { signal, deadlineMs: askMs })
      const ready = found.status?.conditions?.find(({ type }) => type === 'Ready')
      return ready && ready.status !== 'True'
        ? `node ${node} is not ready: ${ready.message ?? ready.status}`
        : ''
    } catch (error) {
      if (signal.aborted) throw error
      if (isNotFound(error)) throw new NodeGone(node)
      if (isForbidden(error)) return ''
      this.#parts.log.warn({ err: error, node }, 'a node could not be looked at')
      return null
    }
  }

  /** The pod as the API server has it now; undefined when it does not answer. */
  async look(name: string, signal: AbortSignal): Promise<{ pod: Pod | undefined } | undefined> {
    const { kube, namespace } = this.#parts
    const path = resourcePath({ ...pods, namespace, name })
    try {
      return { pod: await kube.find<Pod>(path, { signal, deadlineMs: askMs }) }
    } catch (error) {
      if (signal.aborted) throw error
      return undefined
    }
  }

  /**
   * Removes them, but for those that have ended and are to be retained. `wait`: until they are gone; `force`: nobody is
   * there to end them, so that they go from the API at once.
   */
  async remove(how: { wait: boolean; force: boolean }, signal: AbortSignal): Promise<void> {
    const shown = this.all()
    const stoodFor = new Set(shown.map(servedName))
    const gone = this.#recorded().filter((name) => !stoodFor.has(name))
    const names = new Set([...shown.map(({ metadata }) => metadata.name), ...gone])
    await Promise.all([...names].map((name) => this.#removeOne(name, how, signal)))
  }

  async #removeOne(
    name: string,
    { wait, force }: { wait: boolean; force: boolean },
    signal: AbortSignal,
  ): Promise<void> {
    const { kube, cache, namespace, retain } = this.#parts
    const key = `${namespace}/${name}`
    const pod = cache.get(key)
    if (retain && pod && isTerminal(pod)) return
    const path = resourcePath({ ...pods, namespace, name })
    CRASH: reach('runner/removing', this.#links.order.resource.name)
    // A program that has ended has nothing left to put back.
    const hasEnded = pod !== undefined && isTerminal(pod)
    const gracePeriodSeconds = force || hasEnded ? { gracePeriodSeconds: 0 } : {}
    try {
      await kube.remove(path, { signal, ...gracePeriodSeconds })
    } catch (error) {
      if (!isNotFound(error)) throw error
    }
    if (wait) await within(goneMs, signal, (s) => podWhen(cache, key, (p) => !p, s))
  }

  /** Takes the pods away before their start; false when a program has started after all, or nobody can tell. */
  async withdraw(signal: AbortSignal): Promise<boolean> {
    const { kube, cache, namespace } = this.#parts
    const mine = this.all()
    const names = mine.map(({ metadata }) => metadata.name)
    // What became of them is told by their last state.
    const leave = cache.onChange(({ object }) => {
      if (names.includes(object.metadata.name)) this.#ran ||= hasRun(object)
    })
    try {
      for (const name of names)
        await kube.remove(resourcePath({ ...pods, namespace, name }), { signal }).catch((error) => {
          if (!isNotFound(error)) throw error
        })
      const isGone = await within(withdrawMs, signal, async (s) => {
        for (const name of names) await podWhen(cache, `${namespace}/${name}`, (p) => !p, s)
        return true
      })
      if (!isGone || this.#ran) return false
      for (const pod of mine) this.#unborn.add(servedName(pod))
      this.#unsure = false
      return !this.mayHaveRun
    } finally {
      leave()
    }
  }

  /** Resolves when the pod runs nothing any more, or the time is up. */
  async untilOver(signal: AbortSignal): Promise<void> {
    const { cache, namespace } = this.#parts
    const newest = newestOf(this.#order, this.all())
    if (!newest) return
    const key = `${namespace}/${newest.pod.metadata.name}`
    const over = (pod: Pod | undefined): boolean => !pod || isTerminal(pod)
    await within(goneMs, signal, (s) => podWhen(cache, key, over, s))
  }

  /** The pod that was made last, whoever made it. */
  get newest(): string {
    return newestOf(this.#order, this.all())?.pod.metadata.name ?? podName(this.#order, 1)
  }
}
