import { systemClock } from '../../../lib/clock.ts'
import type { KubeClient } from '../../../lib/kube/client.ts'
import { KubeError } from '../../../lib/kube/errors.ts'
import { createStore } from '../../../lib/kube/store.ts'
import { silentLog } from '../../../lib/log.ts'
import type { NodeCommand, NodeEvent, NodeOrder } from '../../../model/fault-pod.ts'
import type { ContainerStatus } from '../../../model/fault-pod-recovery.ts'
import { faultPodLabels } from '../../../model/fault-pod-spec.ts'
import type { TargetState, TaskState } from '../../../model/state.ts'
import { claimLabels } from '../../../model/warm-pod.ts'
import type { Fact, FactBody } from '../../engine/fact.ts'
import { reduce } from '../../engine/reduce.ts'
import { runState, taskState } from '../../engine/testing.ts'
import type { Attached, SessionLinks, SessionParts, WarmDoor } from '../node-parts.ts'
import type { Pod } from '../pod-cache.ts'

type Made = Pod & { order: NodeOrder }
/** What a program says to an attach, and what it makes of commands. */
export type Script = (
  order: NodeOrder,
  say: (event: Omit<NodeEvent, 'seq' | 'at'>) => void,
) => ((command: NodeCommand) => void) | undefined

/** Of a warm pod that nobody has claimed. */
const noOrder = { run: '', attempt: 0 } as NodeOrder
const isWaiting = ({ order }: Made): boolean => order === noOrder

const notFound = () => new KubeError({ status: 404, reason: 'NotFound', message: 'not found' })

/**
 * A node as a session sees it: pods in a store, whose programs follow a script and keep their journal in memory.
 * For the logic of the session alone; programs, journals and kubelet themselves are tested for real elsewhere.
 */
export class PosedNode {
  readonly store = createStore<Pod>()
  readonly facts: FactBody[] = []
  readonly created: Made[] = []
  readonly commands: NodeCommand[] = []
  readonly removals: { name: string; gracePeriodSeconds: number | undefined }[] = []
  /** nodes on which another warm pod was asked for */
  readonly replaced: string[] = []
  /** the run is another runner's by now */
  isTakenOver = false
  /** how many pods there were whenever it was asked whether the run is still ours */
  readonly asked: number[] = []
  /** error that the next creations get */
  refusal: KubeError | null = null
  isInCluster = true
  /** the API server answers questions */
  isReachable = true
  /** its kubelet is heard */
  isReady = true
  /** the wall clock of the node is ahead of ours by so much */
  skewMs = 0
  /** its program is of a version that does not say its time */
  saysItsTime = true
  /** what kubelet says of a program some milliseconds after its pod was made; null: nothing */
  birth: ContainerStatus['state'] | null = { running: {} }
  /** what kubelet says last of a program whose pod is deleted */
  death: ContainerStatus['state'] | null = null
  /** streams break at the order to quit, before anything is answered */
  losesBye = false
  #version = 0
  #seq = 0
  readonly #journal: { seq: number }[] = []
  #streams = new Map<string, AbortController>()
  #state = runState([])
  readonly #script: Script

  constructor(targets: TargetState[], script: Script, over: Partial<TaskState> = {}) {
    this.#script = script
    const task = taskState('hog', { stage: 'chaos', chaosAt: 1, targets, ...over })
    this.#state = runState([task])
  }

  /** by the clock of the node */
  now(): number {
    return Date.now() + this.skewMs
  }

  get task(): TaskState {
    const [task] = this.#state.tasks
    if (!task) throw new Error('no task')
    return task
  }

  names(): string[] {
    return this.facts.map(({ fact }) => fact)
  }

  /** kubelet says something of the newest pod's program; undefined: the pod is gone. */
  says(state: ContainerStatus['state'] | undefined): void {
    const pod = this.created.at(-1)
    if (!pod) throw new Error('no pod was made')
    if (!state?.running) this.#streams.get(pod.metadata.name)?.abort()
    const metadata = { ...pod.metadata, resourceVersion: String(++this.#version) }
    const containerStatuses = [{ name: 'fault', restartCount: 0, ...(state ? { state } : {}) }]
    const object: Pod = { metadata, status: { phase: 'Running', containerStatuses } }
    this.store.apply({ type: state ? 'MODIFIED' : 'DELETED', object })
  }

  parts(): SessionParts {
    return {
      kube: {
        create: async (_: string, pod: Made) => this.#create(pod),
        remove: async (path: string, { gracePeriodSeconds }: { gracePeriodSeconds?: number }) =>
          this.#remove(path.split('/').at(-1) ?? '', gracePeriodSeconds),
        get: async (path: string) => {
          this.#mustAnswer()
          if (path.includes('/nodes/') && !this.isInCluster) throw notFound()
          const ready = { type: 'Ready', status: this.isReady ? 'True' : 'Unknown', message: 'm' }
          return { metadata: { name: 'n' }, status: { conditions: [ready] } }
        },
        find: async (path: string) => {
          this.#mustAnswer()
          return this.store.get(`home/${path.split('/').at(-1)}`)
        },
      } as unknown as KubeClient,
      cache: this.store,
      attach: (place, signal) => this.#attach(place.pod, signal),
      clock: systemClock,
      log: silentLog(),
      namespace: 'home',
      podOf: (order, name) => ({ metadata: { name, namespace: 'home' }, order }),
      retain: false,
      warm: null,
    }
  }

  links(order: NodeOrder): SessionLinks {
    return {
      order,
      task: () => this.task,
      params: async () => order.params,
      resting: () => false,
      ending: () => false,
      emit: (body) => {
        this.facts.push(body)
        this.#state = reduce(this.#state, { at: Date.now(), ...body } as Fact)
      },
      durable: async () => {},
      stored: async () => {},
      mayAct: async () => {
        this.asked.push(this.created.length)
        if (this.isTakenOver) throw new Error('another runner has the run')
      },
    }
  }

  /** The pod of an operator, with this order: it only puts back. */
  comesFromOperator(
    name: string,
    order: NodeOrder,
    state: ContainerStatus['state'] = { running: {} },
  ): void {
    const labels = { [faultPodLabels.fault]: '' }
    const resourceVersion = String(++this.#version)
    const metadata = { name, namespace: 'home', uid: name, resourceVersion, labels }
    this.created.push({ metadata, order })
    this.store.apply({ type: 'ADDED', object: { metadata } })
    this.says(state)
  }

  /** A pod that waits for an order, and the door to it. */
  warm(name: string): WarmDoor {
    const metadata = { name, namespace: 'home', uid: name, resourceVersion: '1', labels: {} }
    this.created.push({ metadata, order: noOrder })
    this.store.apply({ type: 'ADDED', object: { metadata } })
    this.says({ running: {} })
    let isTaken = false
    return {
      claim: async (order) => {
        const pod = this.created.find((one) => one.metadata.name === name)
        if (!pod || isTaken) return null
        isTaken = true
        pod.metadata.labels = claimLabels(order, 1)
        this.says({ running: {} })
        return name
      },
      replace: (node) => this.replaced.push(node),
    }
  }

  #mustAnswer(): void {
    if (!this.isReachable) throw new Error('connect ECONNREFUSED')
  }

  #create(pod: Made): void {
    if (this.refusal) throw this.refusal
    const metadata = {
      ...pod.metadata,
      uid: `u${++this.#version}`,
      resourceVersion: String(this.#version),
    }
    this.created.push({ ...pod, metadata })
    this.store.apply({ type: 'ADDED', object: { metadata } })
    setTimeout(() => {
      if (this.birth && this.store.get(`home/${metadata.name}`)) this.says(this.birth)
    }, 5)
  }

  /** The stream breaks, and kubelet says nothing. */
  breaks(): void {
    for (const stream of this.#streams.values()) stream.abort()
  }

  #remove(name: string, gracePeriodSeconds?: number): void {
    this.removals.push({ name, gracePeriodSeconds })
    const known = this.store.get(`home/${name}`)
    if (!known) throw notFound()
    this.#streams.get(name)?.abort()
    // A pod that is to end in peace stays until its kubelet says so.
    if (!(this.isInCluster && this.isReady) && gracePeriodSeconds !== 0) return
    if (this.death) this.says(this.death)
    const last = this.store.get(`home/${name}`) ?? known
    setTimeout(() => this.store.apply({ type: 'DELETED', object: last }), 1)
  }

  #answer(acknowledged: number, print: (line: object) => void): void {
    print({ hello: 1, last: this.#seq, ...(this.saysItsTime ? { now: this.now() } : {}) })
    for (const event of this.#journal) if (event.seq > acknowledged) print(event)
  }

  async #attach(name: string, signal: AbortSignal): Promise<Attached> {
    const pod = this.created.find((one) => one.metadata.name === name)
    if (!pod || !this.isInCluster) throw new Error('the container does not run')
    const [lines, waiting]: [string[], (() => void)[]] = [[], []]
    const end = new AbortController()
    this.#streams.set(name, end)
    const both = AbortSignal.any([signal, end.signal])
    const wake = () => {
      for (const go of waiting.splice(0)) go()
    }
    both.addEventListener('abort', wake)
    const print = (line: object) => {
      lines.push(JSON.stringify(line))
      wake()
    }
    const say = (event: Omit<NodeEvent, 'seq' | 'at'>) => {
      const stamped = { seq: ++this.#seq, at: this.now(), ...event }
      this.#journal.push(stamped)
      print(stamped)
    }
    let hear = isWaiting(pod) ? undefined : this.#script(pod.order, say)
    async function* read() {
      while (!both.aborted || lines.length > 0) {
        const line = lines.shift()
        if (line === undefined) await new Promise<void>((go) => waiting.push(go))
        else yield line
      }
    }
    const send = async (text: string) => {
      const command = JSON.parse(text) as NodeCommand
      if (!both.aborted) this.commands.push(command)
      if (command.do === 'order' && isWaiting(pod)) {
        pod.order = command.order
        hear = this.#script(pod.order, say)
      }
      if (command.do === 'hello') this.#answer(command.acknowledged, print)
      if (command.do === 'quit' && !both.aborted) {
        if (!this.losesBye) print({ bye: 1 })
        end.abort()
      }
      hear?.(command)
    }
    return { lines: read(), send, close: () => end.abort() }
  }
}
