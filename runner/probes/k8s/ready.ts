import type { KubeObject } from '../../../lib/kube/types.ts'

type Condition = { type?: string; status?: string }
type Status = {
  conditions?: Condition[]
  readyReplicas?: number
  numberReady?: number
  replicas?: number
  desiredNumberScheduled?: number
}

/**
 * How many ready things an object stands for: a workload its ready replicas, anything else 1
 * when its Ready (or Available) condition is true. What is being deleted is not ready.
 */
export function readyCount(object: KubeObject): number {
  if (object.metadata.deletionTimestamp) return 0
  const status = (object as { status?: Status }).status ?? {}
  // the API leaves readyReplicas out when it is 0, so the other counter tells what the object is
  if (status.desiredNumberScheduled !== undefined) return status.numberReady ?? 0
  if (status.replicas !== undefined || status.readyReplicas !== undefined)
    return status.readyReplicas ?? 0
  const is = (type: string): Condition | undefined =>
    status.conditions?.find((condition) => condition.type === type)
  return (is('Ready') ?? is('Available'))?.status === 'True' ? 1 : 0
}
