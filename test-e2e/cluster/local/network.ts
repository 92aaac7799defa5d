import { existsSync, writeFileSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { run, succeeds } from '../shell.ts'
import type { Layout, NodeLayout } from './layout.ts'

/** The bridge that the cluster's nodes are plugged into, and forwarding on the host. */
export async function createBridge(layout: Layout): Promise<void> {
  const { bridge, address } = layout
  await ip(`link add ${bridge} type bridge`)
  await ip(`addr add ${address}/24 dev ${bridge}`)
  await ip(`link set ${bridge} up`)
  allowForwarding('/proc/sys/net/ipv4/ip_forward')
}

/** A network namespace for the node, its cable, and the route to its pods. */
export async function createNodeNetwork(layout: Layout, node: NodeLayout): Promise<void> {
  const { name, link } = node
  await ip(`netns add ${name}`)
  await ip(`link add ${link} type veth peer name eth0 netns ${name}`)
  await ip(`link set ${link} master ${layout.bridge} up`)
  await ip(`-n ${name} addr add ${node.address}/24 dev eth0`)
  await ip(`-n ${name} link set eth0 up`)
  await ip(`-n ${name} link set lo up`)
  await ip(`-n ${name} route add default via ${layout.address}`)
  await ip(`route replace ${node.podRange} via ${node.address}`)
  for (const other of layout.nodes)
    if (other !== node) await ip(`-n ${name} route replace ${other.podRange} via ${other.address}`)
  const settings = 'net.ipv4.ip_forward=1 net.bridge.bridge-nf-call-iptables=1'.split(' ')
  // The second one does not exist where br_netfilter is not loaded; then kube-proxy works without it.
  for (const setting of settings)
    await succeeds('nsenter', [`--net=/run/netns/${name}`, 'sysctl', '-qw', setting])
}

/** Removes the nodes' namespaces, cables and the bridge. */
export async function removeNetwork(layout: Layout): Promise<void> {
  const ofNode = new RegExp(`^c${layout.slot}-node\\d+$`)
  if (existsSync('/run/netns'))
    for (const name of await readdir('/run/netns'))
      if (ofNode.test(name)) await succeeds('ip', ['netns', 'del', name])
  await succeeds('ip', ['link', 'del', layout.bridge])
}

async function ip(command: string): Promise<void> {
  await run('ip', command.split(' '))
}

function allowForwarding(file: string): void {
  try {
    writeFileSync(file, '1')
  } catch {
    // Read-only in some containers, where it is usually on already; without it pods do not reach each other.
  }
}
