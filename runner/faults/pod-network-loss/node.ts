import { createHash } from 'node:crypto'
import type { NetworkFilter } from '../../../model/network.ts'
import {
  destinationsOf,
  doorOf,
  enterByShell,
  inNetwork,
  mustHave,
  type PodNetwork,
  podNetwork,
} from '../../fault-pod/network/namespace.ts'
import { chainLines, countOf, egressTable } from '../../fault-pod/network/ruleset.ts'
import { defineNodeFault, type NodeLook, NodeTrouble } from '../node-fault.ts'

type Params = { lossPercent: number; filter: NetworkFilter }
type Plan = {
  network: PodNetwork
  device: string
  lossPercent: number
  /** our own table: nothing else is in it, and nobody else has one of this name */
  table: string
  /** what nft reads */
  ruleset: string
}

const nft = (pid: number, ...args: string[]) => inNetwork(pid, ['nft', ...args])

const verdictOf = (percent: number): string =>
  percent === 100 ? 'counter drop' : `numgen random mod 100 < ${percent} counter drop`

const listed = (plan: Plan, pid: number, look: NodeLook): string | null => {
  const { ok, stdout } = look.ask(nft(pid, '-j', 'list', 'table', 'netdev', plan.table))
  return ok ? stdout : null
}

/**
 * The node part of pod-network-loss: a table of nftables where packets leave the pod's interface. There a lost packet
 * is lost without a word, where a filter on output would tell the sender; and queueing disciplines stay as they are.
 */
export const podNetworkLossNode = defineNodeFault<Params, Plan>({
  id: 'pod-network-loss',

  params: (raw) => {
    const { lossPercent, filter } = raw as Params
    if (Number.isInteger(lossPercent) && lossPercent >= 1 && lossPercent <= 100 && filter)
      return { lossPercent, filter }
    throw new NodeTrouble('INVALID_SPEC', 'pod-network-loss: lossPercent must be from 1 to 100.')
  },

  facility(target, look) {
    podNetwork(target, look)
    if (!look.hasProgram('nft'))
      throw new NodeTrouble(
        'HELPER_ERROR',
        'nft is not in the image of the fault pod: use the image that belongs to this version.',
      )
    // in a namespace that is made for it and gone with it
    const trial = egressTable('chaosplane_trial', 'lo', [verdictOf(50)])
    const { ok, stderr } = look.ask(['unshare', '--net', 'nft', '-f', '-'], trial)
    if (ok) return 'nftables, egress hook'
    throw new NodeTrouble(
      'HELPER_ERROR',
      `This node cannot lose packets where they leave an interface: its kernel needs nf_tables with the egress hook (Linux 5.16, CONFIG_NETFILTER_EGRESS). nft says: ${stderr.trim().split('\n')[0]}`,
    )
  },

  plan(target, { params: { lossPercent, filter } }, look) {
    const network = podNetwork(target, look)
    mustHave(filter.interface, target, look)
    const aim = { ...filter, destinations: destinationsOf(filter, target, look) }
    const table = `chaosplane_${createHash('sha256').update(target.mark).digest('hex').slice(0, 12)}`
    const lines = chainLines(aim, verdictOf(lossPercent))
    const ruleset = egressTable(table, filter.interface, lines)
    return { network, device: filter.interface, lossPercent, table, ruleset }
  },

  inject(plan, hands) {
    const pid = doorOf(plan.network, hands)
    if (pid === null) throw new NodeTrouble('CHAOS_INJECT_ERROR', 'The pod has ended.')
    const { ok, stderr } = hands.run(nft(pid, '-f', '-'), plan.ruleset)
    if (!ok) throw new NodeTrouble('CHAOS_INJECT_ERROR', `nft refused the rules: ${stderr.trim()}`)
  },

  verify(plan, look) {
    const pid = doorOf(plan.network, look)
    const packets = pid === null ? null : countOf(listed(plan, pid, look) ?? '')
    if (packets === null) return null
    const evidence = `${plan.lossPercent} % of what leaves ${plan.device} and is aimed at is dropped by table ${plan.table}; ${packets} packets so far`
    return { evidence, sound: 1 }
  },

  alive: (plan, _effect, look) =>
    doorOf(plan.network, look) === null ? 'the pod has ended, and its network with it' : null,

  revert(plan, hands) {
    const pid = doorOf(plan.network, hands)
    if (pid !== null) hands.run(nft(pid, 'delete', 'table', 'netdev', plan.table))
  },

  proof(plan, look) {
    const pid = doorOf(plan.network, look)
    if (pid === null) return { proof: "the pod's network namespace no longer exists", gone: true }
    const { ok, stdout, stderr } = look.ask(nft(pid, 'list', 'tables'))
    if (ok && !stdout.split('\n').some((line) => line.endsWith(` ${plan.table}`)))
      return { proof: `no table ${plan.table} is left in the pod's network` }
    const left = ok ? `table ${plan.table} is still there` : `nft cannot look: ${stderr.trim()}`
    return { left, remaining: [nft(pid, 'delete', 'table', 'netdev', plan.table).join(' ')] }
  },

  undo: ({ network, table }) => [
    ...enterByShell(network.netns),
    `nsenter --net="$at" -- nft delete table netdev ${table} 2>/dev/null`,
    `tables=$(nsenter --net="$at" -- nft list tables) || exit 1`,
    `! echo "$tables" | grep -q ' ${table}$'`,
  ],
})
