import type { Clock } from '../../lib/clock.ts'
import type { KubeClient } from '../../lib/kube/client.ts'
import type { Cache } from '../../lib/kube/store.ts'
import type { Log } from '../../lib/log.ts'
import type { NodeOrder } from '../../model/fault-pod.ts'
import type { TaskState } from '../../model/state.ts'
import type { FactBody } from '../engine/fact.ts'
import type { Pod } from './pod-cache.ts'

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

/** The warm pods, as one task may use them. */
export type WarmDoor = {
  /** Makes a warm pod of the order's node ours; gives its name, null when there is none that fits. */
  claim(order: NodeOrder, signal: AbortSignal): Promise<string | null>
  /** the pod of this node has done its work: another one may wait in its place */
  replace(node: string): void
}

/** What sessions with fault pods work with. */
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
  /** null: every run gets a pod of its own */
  warm: WarmDoor | null
}

/** What one session has to do with its run. */
export type SessionLinks = {
  /** of the first pod; those that take its place get the same, without what is over */
  order: NodeOrder
  task(): TaskState
  /** the fault's parameters, with what has to be looked up in the cluster for them */
  params(signal: AbortSignal): Promise<Record<string, unknown>>
  /** the run is paused: nothing is injected */
  resting(): boolean
  /** nothing more is injected, or nobody knows what */
  ending(): boolean
  emit(fact: FactBody): void
  durable(signal: AbortSignal): Promise<void>
  stored(signal: AbortSignal): Promise<void>
  /** Passed right before what acts: whoever was held up for long asks whether the run is still ours. */
  mayAct(signal: AbortSignal): Promise<void>
}

/** The value, or undefined when the time is up; throws when `signal` aborts. */
export async function within<T>(
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
