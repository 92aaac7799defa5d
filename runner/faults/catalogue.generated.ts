// Written by `npm run generate` from the folders beside this file; do not edit.
import type { FaultCatalogue } from '../../model/fault.ts'
import { nodeTaint } from './node-taint/index.ts'
import { podCpuHog } from './pod-cpu-hog/index.ts'
import { podDelete } from './pod-delete/index.ts'
import { podNetworkLoss } from './pod-network-loss/index.ts'

/** All faults by canonical id. */
export const faultCatalogue: FaultCatalogue = {
  'node-taint': nodeTaint,
  'pod-cpu-hog': podCpuHog,
  'pod-delete': podDelete,
  'pod-network-loss': podNetworkLoss,
}
