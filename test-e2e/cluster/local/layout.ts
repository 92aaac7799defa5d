import { join } from 'node:path'

/** Addresses, ports, names and folders of one local cluster; the slot keeps clusters apart. */
export type Layout = {
  folder: string
  slot: number
  pki: string
  /** the host's address on the cluster's bridge; API server and DNS answer there */
  address: string
  bridge: string
  apiPort: number
  etcdPort: number
  controllerManagerPort: number
  schedulerPort: number
  podRange: string
  dnsAddress: string
  nodes: NodeLayout[]
}

/** One node: a network namespace with containerd, kubelet and kube-proxy in it. */
export type NodeLayout = {
  name: string
  address: string
  podRange: string
  /** host end of the node's network cable */
  link: string
  folder: string
  socket: string
}

/** How many clusters fit on one machine side by side. */
export const slots = 10

/** Everything that follows from a slot and a number of nodes. */
export function layoutOf(folder: string, slot: number, nodeCount: number): Layout {
  const net = `10.20${slot}.0`
  const pods = `10.24${slot}`
  return {
    folder,
    slot,
    pki: join(folder, 'pki'),
    address: `${net}.1`,
    bridge: `chaos-br${slot}`,
    apiPort: 16443 + slot,
    etcdPort: 12379 + 10 * slot,
    controllerManagerPort: 11257 + slot,
    schedulerPort: 11357 + slot,
    podRange: `${pods}.0.0/16`,
    dnsAddress: '10.96.0.10',
    nodes: Array.from({ length: nodeCount }, (_, i) => {
      const name = `c${slot}-node${i + 1}`
      return {
        name,
        address: `${net}.${11 + i}`,
        podRange: `${pods}.${i + 1}.0/24`,
        link: `chaos${slot}n${i + 1}`,
        folder: join(folder, name),
        socket: join(folder, name, 'containerd.sock'),
      }
    }),
  }
}
