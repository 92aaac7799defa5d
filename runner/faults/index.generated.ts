// Written by `npm run generate` from the folders beside this file; do not edit.
import type { KubeFault } from './kube-fault.ts'
import { nodeTaint } from './node-taint/kube.ts'
import { podDelete } from './pod-delete/kube.ts'

/** The acting part of every API-level fault, by canonical id. */
export const kubeFaults: Readonly<Record<string, KubeFault<never>>> = {
  'node-taint': nodeTaint,
  'pod-delete': podDelete,
}
