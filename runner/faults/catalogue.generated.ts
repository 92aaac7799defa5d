// Written by `npm run generate` from the folders beside this file; do not edit.
import type { FaultCatalogue } from '../../model/fault.ts'
import { nodeDrain } from './node-drain/index.ts'
import { nodeTaint } from './node-taint/index.ts'
import { podAutoscaler } from './pod-autoscaler/index.ts'
import { podCpuHog } from './pod-cpu-hog/index.ts'
import { podDelete } from './pod-delete/index.ts'
import { podNetworkLatency } from './pod-network-latency/index.ts'
import { podNetworkLoss } from './pod-network-loss/index.ts'
import { podNetworkPartition } from './pod-network-partition/index.ts'
import { podNetworkPolicy } from './pod-network-policy/index.ts'

/** All faults by canonical id. */
export const faultCatalogue: FaultCatalogue = {
  'node-drain': nodeDrain,
  'node-taint': nodeTaint,
  'pod-autoscaler': podAutoscaler,
  'pod-cpu-hog': podCpuHog,
  'pod-delete': podDelete,
  'pod-network-latency': podNetworkLatency,
  'pod-network-loss': podNetworkLoss,
  'pod-network-partition': podNetworkPartition,
  'pod-network-policy': podNetworkPolicy,
}
