import { join } from 'node:path'
import type { Layout } from '../local/layout.ts'

/** Names and addresses of one machine of a local cluster. */
export type MachineLayout = {
  name: string
  address: string
  podRange: string
  mac: string
  /** the machine's network cable; it goes with the process of the machine */
  tap: string
  folder: string
  /** its name among the cluster's processes */
  process: string
}

/** Machine number 1 to 9 of a cluster. */
export function machineLayout(layout: Layout, number: number): MachineLayout {
  const { slot, folder } = layout
  const name = `c${slot}-vm${number}`
  return {
    name,
    address: layout.address.replace(/\.1$/, `.${20 + number}`),
    podRange: layout.podRange.replace(/\.0\.0\/16$/, `.${20 + number}.0/24`),
    mac: `52:54:00:00:0${slot}:0${number}`,
    tap: `chaos${slot}v${number}`,
    folder: join(folder, name),
    process: `machine:${name}`,
  }
}
