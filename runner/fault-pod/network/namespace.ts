import { isIP } from 'node:net'
import type { NetworkFilter } from '../../../model/network.ts'
import {
  type Command,
  type FoundTarget,
  type NodeLook,
  NodeTrouble,
  TargetGone,
} from '../../faults/node-fault.ts'
import { shellQuote } from '../../faults/shell-quote.ts'
import { inContainer } from '../cgroup.ts'
import type { Destination } from './matches.ts'
import type { Inside } from './means.ts'

/**
 * The network namespace of a pod: it belongs to the sandbox, so a container that crashes does not take it away. The
 * kernel gives its number to another one when it has ended, so who else is found there must be of the same pod. `pod`:
 * the folder of the pod's cgroup, where that has a name of its own. `pin`: where the runtime holds it by a mount.
 * Records of earlier versions have neither.
 */
export type PodNetwork = {
  netns: string
  pid: number
  startTicks: number
  pod?: string
  pin?: string
}

/** What `nsenter --net` takes: the file of a namespace. */
export type Door = string

const doorOfProcess = (pid: number): Door => `/proc/${pid}/ns/net`

/** `kubepods-burstable-pod<uid>.slice` or `pod<uid>`; nothing where pods have no cgroup of their own. */
function podFolder({ cgroups, containerId }: FoundTarget): string | undefined {
  const parts = (cgroups[0] ?? '').split('/')
  const above = parts[parts.findIndex((part) => inContainer(part, containerId)) - 1] ?? ''
  return /pod[0-9a-f_-]{32,36}(?:\.slice)?$/.test(above) ? above : undefined
}

/** Finds the pod's network; throws NodeTrouble when it is the node's own. */
export function podNetwork(target: FoundTarget, look: NodeLook): PodNetwork {
  const netns = look.netns(target.pid)
  if (!netns) throw new TargetGone(`${target.id} has ended; select a running pod.`)
  if (look.nodeNetns().includes(netns))
    throw new NodeTrouble(
      'TARGET_SELECTION_ERROR',
      `${target.id} uses the network of its node (hostNetwork): what is done to it would be done to the whole node. Select a pod with a network of its own.`,
    )
  const pod = podFolder(target)
  const pid = look.inNetns(netns, pod) ?? target.pid
  const [pin] = look.pins(netns)
  const startTicks = look.process(pid)?.startTicks ?? 0
  return { netns, pid, startTicks, ...(pod ? { pod } : {}), ...(pin ? { pin } : {}) }
}

/** The interfaces of the pod, as they are called inside. */
export const interfacesOf = (target: FoundTarget, look: NodeLook): string[] =>
  (look.read(`/proc/${target.pid}/net/dev`) ?? '')
    .split('\n')
    .flatMap((line) => (line.includes(':') ? [line.slice(0, line.indexOf(':')).trim()] : []))

/** Throws NodeTrouble when the pod has no such interface. */
export function mustHave(device: string, target: FoundTarget, look: NodeLook): void {
  const found = interfacesOf(target, look)
  if (found.includes(device)) return
  throw new NodeTrouble(
    'TARGET_SELECTION_ERROR',
    `${target.id} has no interface ${device}; it has ${found.join(', ') || 'none'}. Name one in NETWORK_INTERFACE.`,
  )
}

/** `inner` in the network behind a door, or in that of a living process. */
export const inNetwork = (place: Door | number, inner: Command): Command => [
  'nsenter',
  `--net=${typeof place === 'number' ? doorOfProcess(place) : place}`,
  '--',
  ...inner,
]

/**
 * Where the network can be entered now; null when it is gone. Between two lives of a pod's only container no process
 * may live in it: then the runtime's mount holds it, and what is in it stays.
 */
export function doorOf(network: PodNetwork, look: NodeLook): Door | null {
  const { netns, pid, startTicks, pod, pin } = network
  // A zombie has left its network already.
  if (look.process(pid)?.startTicks === startTicks && look.netns(pid) === netns)
    return doorOfProcess(pid)
  const other = look.inNetns(netns, pod)
  if (other !== null) return doorOfProcess(other)
  const at = look.pins(netns).find((one) => pin === undefined || one === pin)
  return at === undefined ? null : look.hostRoot + at
}

const families = { 4: 4, 6: 6 } as const

export const familyOf = (address: string): 4 | 6 | null =>
  families[isIP(address.split('/')[0] ?? '') as 4 | 6] ?? null

/** A name without a point is looked up where the target would: in its own namespace. */
function addressesOf(host: string, target: FoundTarget, look: NodeLook): string[] {
  const full = host.includes('.') ? host : `${host}.${target.id.split('/')[0]}.svc`
  const { stdout } = look.ask(['getent', 'ahosts', full])
  const found = stdout.split('\n').flatMap((line) => line.split(/\s+/)[0] || [])
  if (found.length > 0) return [...new Set(found)]
  throw new NodeTrouble(
    'CHAOS_INJECT_ERROR',
    `The name ${full} cannot be looked up from the node of ${target.id}: correct DESTINATION_HOSTS, or write addresses in DESTINATION_IPS.`,
  )
}

/** Whether a filter means some packets only. */
export const isAimed = ({ destinations, sourcePorts, destinationPorts }: NetworkFilter): boolean =>
  destinations.length + sourcePorts.list.length + destinationPorts.list.length > 0

/** Addresses of all destinations, names looked up now. */
export const destinationsOf = (
  filter: Pick<NetworkFilter, 'destinations'>,
  target: FoundTarget,
  look: NodeLook,
): Destination[] =>
  filter.destinations.flatMap(({ host, ports }) => {
    const own = familyOf(host)
    const addresses = own ? [host] : addressesOf(host, target, look)
    return addresses.map((address) => ({ address, ports, family: own ?? familyOf(address) ?? 4 }))
  })

type Address = { family: 4 | 6; address: string }

function parsed<T>(json: string): T[] {
  try {
    return JSON.parse(json) as T[]
  } catch {
    return []
  }
}

/**
 * The addresses from which the node itself speaks to the pod: kubelet's probes come from there. `ask` asks in the
 * network of the pod.
 */
export function nodeAddresses(ask: Inside, look: NodeLook): Address[] {
  const node = look.nodeNetns().at(-1)
  const pid = node ? look.inNetns(node) : null
  if (pid === null) return []
  const { stdout } = ask(['ip', '-j', 'addr', 'show', 'scope', 'global'])
  const own = parsed<{ addr_info?: { local?: string }[] }>(stdout).flatMap((link) =>
    (link.addr_info ?? []).flatMap(({ local }) => local ?? []),
  )
  return own.flatMap((address) => {
    const route = look.ask(inNetwork(pid, ['ip', '-j', 'route', 'get', address]))
    const from = parsed<{ prefsrc?: string }>(route.ok ? route.stdout : '')[0]?.prefsrc
    const family = from ? familyOf(from) : null
    return from && family ? [{ family, address: from }] : []
  })
}

/**
 * Shell lines that define `in_net` for what is to run in this namespace, and end well when it is gone: nobody lives there,
 * and the host has it mounted nowhere. The kernel may have given its number to the network of another pod: what is
 * removed there has a name that no other injection has, so nothing of that pod is touched.
 */
export function enterByShell(netns: string): string[] {
  const escaped = netns.replace(/[[\]]/g, '\\$&')
  return [
    `at=$(find /proc/[0-9]*/ns/net -maxdepth 0 -lname ${shellQuote(escaped)} 2>/dev/null | head -n 1)`,
    'if [ -z "$at" ]; then',
    // biome-ignore lint/suspicious/noTemplateCurlyInString: the shell's own
    '  if [ -n "$H" ]; then mounts=${H%/root}/mountinfo; else mounts=/proc/self/mountinfo; fi',
    `  at=$(sed -n ${shellQuote(`s|^[0-9]* [0-9]* [0-9:]* ${escaped} \\([^ ]*\\) .*|\\1|p`)} "$mounts" 2>/dev/null | head -n 1)`,
    '  [ -n "$at" ] || exit 0',
    '  at=$H$at',
    'fi',
    'in_net() { nsenter --net="$at" -- "$@"; }',
  ]
}
