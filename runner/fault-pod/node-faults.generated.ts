// Written by `npm run generate`: every fault with a node part.
import { podCpuHogNode } from '../faults/pod-cpu-hog/node.ts'

export const nodeFaults = {
  'pod-cpu-hog': podCpuHogNode,
} as const
