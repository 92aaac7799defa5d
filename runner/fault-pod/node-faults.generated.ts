// Written by `npm run generate`: every fault with a node part.
import { podCpuHogNode } from '../faults/pod-cpu-hog/node.ts'
import { podNetworkLatencyNode } from '../faults/pod-network-latency/node.ts'
import { podNetworkLossNode } from '../faults/pod-network-loss/node.ts'
import { podNetworkPartitionNode } from '../faults/pod-network-partition/node.ts'

export const nodeFaults = {
  'pod-cpu-hog': podCpuHogNode,
  'pod-network-latency': podNetworkLatencyNode,
  'pod-network-loss': podNetworkLossNode,
  'pod-network-partition': podNetworkPartitionNode,
} as const
