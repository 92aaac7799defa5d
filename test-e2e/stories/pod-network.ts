import { execFileSync, spawnSync } from 'node:child_process'
import type { Json } from '../watchers/api.ts'
import { podGroup, processesIn } from '../watchers/cgroups.ts'
import type { Place } from '../watchers/datagrams.ts'
import type { World } from './world.ts'

const inside = (pid: number, command: string): string =>
  execFileSync('nsenter', [`--net=/proc/${pid}/ns/net`, '--', ...command.split(' ')], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  })

/** The network of the one pod of a deployment, by its oldest process: the sandbox's own, which outlives containers. */
export function placeOf(world: World, app: string): Place {
  const [pod] = world.podsOf(app) as [Json]
  const group = podGroup(world.installed.nodes, pod.metadata.uid)
  const processes = group ? processesIn(group) : []
  const pid = Math.min(...processes.map((process) => process.pid))
  if (!Number.isFinite(pid)) throw new Error(`no process of ${app}`)
  return { pid, address: pod.status.podIP }
}

/** Everything that could do something to packets in a pod's network, as its own tools tell it. */
export const networkImage = ({ pid }: Pick<Place, 'pid'>): string =>
  ['nft list ruleset', 'tc qdisc show', 'iptables-save', 'ip6tables-save', 'ip -o link show']
    .map((command) => `# ${command}\n${inside(pid, command).replace(/^#.*\n/gm, '')}`)
    .join('')

/** Removes every table of nftables, as a program in the pod might do. */
export const mend = ({ pid }: Pick<Place, 'pid'>): void => void inside(pid, 'nft flush ruleset')

/** Whether the kernel of this machine has netem. */
export function hasNetem(): boolean {
  const trial = ['--net', 'tc', 'qdisc', 'add', 'dev', 'lo', 'root', 'netem', 'delay', '1ms']
  return spawnSync('unshare', trial).status === 0
}
