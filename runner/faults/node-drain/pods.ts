import type { KubeObject } from '../../../lib/kube/types.ts'
import { isTerminal } from '../../../model/pod-life.ts'
import type { NodeDrainParams } from './index.ts'

/** As much of a pod as draining reads. */
export type DrainedPod = KubeObject & {
  spec?: { volumes?: { name: string; emptyDir?: unknown }[] }
  status?: { phase?: string }
}

/** `stays`: it is left where it is, and that is no obstacle; `refused`: with it there is no drain. */
export type Fate =
  | { fate: 'goes' }
  | { fate: 'stays'; why: string }
  | { fate: 'refused'; why: string }

export const podName = ({ metadata }: KubeObject): string =>
  `${metadata.namespace}/${metadata.name}`

const stays = (why: string): Fate => ({ fate: 'stays', why })
const refused = (why: string): Fate => ({ fate: 'refused', why })

/**
 * Who goes. The product's own pods stay: its runner has to put the node back, and a fault pod that is sent away would
 * end another fault.
 */
export function fateOf(pod: DrainedPod, params: NodeDrainParams): Fate {
  const { labels = {}, annotations = {}, ownerReferences = [] } = pod.metadata
  const owner = ownerReferences.find((o) => o.controller)
  if (annotations['kubernetes.io/config.mirror'] !== undefined) return stays('of the node itself')
  if (labels['chaos.chaosplane.io/part'] !== undefined) return stays('of a chaos run')
  if (labels['app.kubernetes.io/name'] === 'chaosplane') return stays('of chaosplane')
  if (owner?.kind === 'DaemonSet')
    return params.ignoreDaemonSets
      ? stays('of a DaemonSet')
      : refused(`is of DaemonSet ${owner.name}; set ignoreDaemonSets to true to leave it there`)
  if (isTerminal(pod)) return { fate: 'goes' }
  if (!owner && !params.force)
    return refused('has no controller that would start it again; set FORCE to true')
  if (!params.deleteEmptyDirData && pod.spec?.volumes?.some((v) => v.emptyDir !== undefined))
    return refused('would lose its emptyDir volumes; set deleteEmptyDirData to true')
  return { fate: 'goes' }
}

/** `2 of a DaemonSet, 1 of chaosplane`; empty when nobody stays. */
export function whoStays(pods: readonly DrainedPod[], params: NodeDrainParams): string {
  const counts = new Map<string, number>()
  for (const pod of pods) {
    const fate = fateOf(pod, params)
    if (fate.fate === 'stays') counts.set(fate.why, (counts.get(fate.why) ?? 0) + 1)
  }
  return [...counts].map(([why, count]) => `${count} ${why}`).join(', ')
}

/** What came after the cordon was not kept away by it (it tolerates that) and is no part of the drain. */
export const wasThere = ({ metadata }: KubeObject, cordonedAt: string): boolean =>
  (metadata.creationTimestamp ?? '') <= cordonedAt
