import type { NetworkFilter } from '../../../model/network.ts'
import { asking, type NetworkPlan, nameFor, networkActs } from '../../fault-pod/network/acts.ts'
import { findIptables, planIptables } from '../../fault-pod/network/iptables.ts'
import { matchesOf } from '../../fault-pod/network/matches.ts'
import { type Inside, noMeans } from '../../fault-pod/network/means.ts'
import { destinationsOf, isAimed, mustHave, podNetwork } from '../../fault-pod/network/namespace.ts'
import { netemTrouble, planNetem } from '../../fault-pod/network/netem.ts'
import { chainLines, egressTable, egressTrouble, lose } from '../../fault-pod/network/ruleset.ts'
import { defineNodeFault, type NodeLook, NodeTrouble } from '../node-fault.ts'

type Params = { lossPercent: number; correlationPercent: number; filter: NetworkFilter }

type Choice = { means: 'nft' | 'netem' } | { means: 'iptables'; make: 'nft' | 'legacy' }

const words = (choice: Choice): string =>
  ({
    nft: 'nftables, egress hook',
    netem: 'netem',
    iptables: 'make' in choice ? `iptables-${choice.make}, match statistic` : '',
  })[choice.means]

/**
 * What the node has, the best first: at the egress hook nothing else of the pod is touched and the sender hears nothing;
 * iptables tells the sender of a datagram. Losses that depend on each other are known to netem only.
 */
function choose({ correlationPercent, filter }: Params, ask: Inside, look: NodeLook): Choice {
  const place = { device: filter.interface, aimed: isAimed(filter), ask }
  if (correlationPercent > 0) {
    const trouble = netemTrouble(place, look)
    if (trouble === null) return { means: 'netem' }
    throw noMeans(
      look,
      `This node cannot make losses depend on each other: ${trouble}. Load what is missing, or leave CORRELATION out.`,
    )
  }
  const egress = egressTrouble(look)
  if (egress === null) return { means: 'nft' }
  const netem = netemTrouble(place, look)
  if (netem === null) return { means: 'netem' }
  const iptables = findIptables(look)
  if ('make' in iptables) return { means: 'iptables', make: iptables.make }
  throw noMeans(
    look,
    `This node cannot lose packets: ${egress}; or ${netem}; or iptables with the match statistic, but ${iptables.trouble}. Any one of the three is enough.`,
  )
}

const verdictOf = (percent: number): string =>
  percent === 100 ? lose : `numgen random mod 100 < ${percent} ${lose}`

const isPercent = (raw: unknown, from: number): raw is number =>
  typeof raw === 'number' && Number.isInteger(raw) && raw >= from && raw <= 100

/** The node part of pod-network-loss. */
export const podNetworkLossNode = defineNodeFault<Params, NetworkPlan>({
  id: 'pod-network-loss',
  ...networkActs,

  params: (raw) => {
    const { lossPercent, correlationPercent = 0, filter } = raw as Params
    if (isPercent(lossPercent, 1) && isPercent(correlationPercent, 0) && filter)
      return { lossPercent, correlationPercent, filter }
    throw new NodeTrouble(
      'INVALID_SPEC',
      'pod-network-loss: lossPercent must be from 1 to 100, correlationPercent from 0 to 100.',
    )
  },

  facility(target, look, params) {
    const { pid } = podNetwork(target, look)
    mustHave(params.filter.interface, target, look)
    return words(choose(params, asking(pid, look), look))
  },

  plan(target, { params }, look) {
    const { lossPercent, correlationPercent, filter } = params
    const network = podNetwork(target, look)
    const device = filter.interface
    const matches = matchesOf({ ...filter, destinations: destinationsOf(filter, target, look) })
    const which = isAimed(filter) ? 'the packets that leave it and are aimed at' : 'what leaves it'
    const plan = { network, what: `${device} loses ${lossPercent} % of ${which}` }
    const ask = asking(network.pid, look)
    const choice = choose(params, ask, look)
    const name = nameFor(target)
    if (choice.means === 'netem') {
      const netem = `loss ${lossPercent}% ${correlationPercent}%`
      return { ...plan, by: planNetem(target, { device, matches, netem }, { ask, look }) }
    }
    if (choice.means === 'iptables') {
      const asked = { make: choice.make, chain: name, device, percent: lossPercent, matches }
      return { ...plan, by: planIptables(target, asked, { ask, look }) }
    }
    const ruleset = egressTable(name, device, chainLines(matches, verdictOf(lossPercent)))
    return { ...plan, by: { means: 'nft', family: 'netdev', table: name, ruleset } }
  },
})
