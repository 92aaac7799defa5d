// Written by `npm run generate`: every fault with a node part.
import { podCpuHogNode } from '../faults/pod-cpu-hog/node.ts'
import { podNetworkLossNode } from '../faults/pod-network-loss/node.ts'

export const nodeFaults = {
  'pod-cpu-hog': podCpuHogNode,
  'pod-network-loss': podNetworkLossNode,
} as const
