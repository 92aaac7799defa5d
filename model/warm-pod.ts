import type { NodeOrder } from './fault-pod.ts'
import { podName } from './fault-pod-recovery.ts'
import {
  capabilityLabel,
  faultContainer,
  faultPodLabels,
  guardContainer,
  orderLabels,
  warmLabels,
} from './fault-pod-spec.ts'
import type { PodSettings } from './plan.ts'

/**
 * A warm pod is a fault pod without an order: it waits on its node and works for the one run that claims it. From the
 * claim on it is a fault pod like any other; before it, it is nobody's.
 */

/** Which warm pods there are: none, those that a run leaves behind for a while, one on every node. */
export const warmModes = ['none', 'idle', 'daemonset'] as const
export type WarmMode = (typeof warmModes)[number]

/** An idle pod ends by itself after this, milliseconds. */
export const idleMs = 300_000
/** One that is about to end is not claimed any more, milliseconds. */
const lastMs = 15_000

/** As much of a pod as tells whether it can be claimed. */
export type WarmPodFacts = {
  metadata: {
    labels?: Record<string, string>
    deletionTimestamp?: string
    creationTimestamp?: string
    ownerReferences?: { kind: string }[]
  }
  spec?: { nodeName?: string; containers?: { name: string; image?: string }[] }
  status?: {
    phase?: string
    containerStatuses?: { name: string; state?: { running?: object } }[]
  }
}

/** What a run asks of a warm pod. */
export type WarmNeed = { node: string; capabilities: readonly string[]; image: string }

/** Nobody's, whether or not it runs yet. */
export const isUnclaimed = ({ metadata }: WarmPodFacts): boolean =>
  metadata.labels?.[warmLabels.warm] === 'free' && metadata.deletionTimestamp === undefined

/** A DaemonSet keeps it; all others were left by a run and end by themselves. */
export const isKept = ({ metadata }: WarmPodFacts): boolean =>
  (metadata.ownerReferences ?? []).some(({ kind }) => kind === 'DaemonSet')

/** Nobody's, on that node, of this version, and with exactly what the fault needs. */
export const fits = (pod: WarmPodFacts, need: WarmNeed): boolean =>
  isUnclaimed(pod) &&
  pod.spec?.nodeName === need.node &&
  pod.metadata.labels?.[warmLabels.capabilities] === capabilityLabel(need.capabilities) &&
  (pod.spec.containers ?? []).every(({ image }) => image === need.image)

/** Program and guard wait for an order. */
export function isReady(pod: WarmPodFacts, now: number): boolean {
  const runs = (container: string): boolean =>
    (pod.status?.containerStatuses ?? []).some(
      ({ name, state }) => name === container && state?.running !== undefined,
    )
  const ageMs = now - Date.parse(pod.metadata.creationTimestamp ?? '')
  const lasts = isKept(pod) || ageMs < idleMs - lastMs
  return lasts && runs(faultContainer) && runs(guardContainer)
}

/** An experiment that says how its pod is to be gets one of its own. */
export const asksForItsOwn = ({ resources, labels, annotations }: PodSettings): boolean =>
  [resources, labels, annotations].some((one) => Object.keys(one ?? {}).length > 0)

/** What the claim writes on a warm pod. */
export const claimLabels = (order: NodeOrder, now: number): Record<string, string> => ({
  ...orderLabels(order),
  [warmLabels.warm]: 'claimed',
  [warmLabels.claimedAt]: String(now),
  [faultPodLabels.serves]: podName(order, order.attempt),
})
