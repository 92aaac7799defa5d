import type { NodeTarget } from '../../model/fault-pod.ts'
import { recordKey, type TargetState } from '../../model/state.ts'

/** What a fault pod must know of a target. */
export const nodeTarget = (target: TargetState): NodeTarget => ({
  id: recordKey(target),
  namespace: target.namespace,
  pod: target.name,
  podUid: target.uid,
  container: target.container ?? '',
  containerId: target.containerId ?? '',
})
