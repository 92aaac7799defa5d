// Written by `npm run generate` from the folders beside this file; do not edit.
import type { KubeFault } from './kube-fault.ts'
import { nodeDrain } from './node-drain/kube.ts'
import { nodeTaint } from './node-taint/kube.ts'
import { podAutoscaler } from './pod-autoscaler/kube.ts'
import { podDelete } from './pod-delete/kube.ts'
import { podNetworkPolicy } from './pod-network-policy/kube.ts'

/** The acting part of every API-level fault, by canonical id. */
export const kubeFaults: Readonly<Record<string, KubeFault<never>>> = {
  'node-drain': nodeDrain,
  'node-taint': nodeTaint,
  'pod-autoscaler': podAutoscaler,
  'pod-delete': podDelete,
  'pod-network-policy': podNetworkPolicy,
}
