import type { NetworkFilter } from '../../../model/network.ts'
import { asking, type NetworkPlan, networkActs } from '../../fault-pod/network/acts.ts'
import { matchesOf } from '../../fault-pod/network/matches.ts'
import { noMeans } from '../../fault-pod/network/means.ts'
import { destinationsOf, isAimed, mustHave, podNetwork } from '../../fault-pod/network/namespace.ts'
import { netemTrouble, planNetem } from '../../fault-pod/network/netem.ts'
import { defineNodeFault, NodeTrouble } from '../node-fault.ts'

type Params = {
  latencyMs: number
  jitterMs: number
  correlationPercent: number
  filter: NetworkFilter
}

const isWhole = (raw: unknown, from: number): raw is number =>
  typeof raw === 'number' && Number.isInteger(raw) && raw >= from

/** What netem is told: a correlation without jitter would mean nothing. */
const words = ({ latencyMs, jitterMs, correlationPercent }: Params): string =>
  jitterMs > 0
    ? `delay ${latencyMs}ms ${jitterMs}ms ${correlationPercent}%`
    : `delay ${latencyMs}ms`

/** The node part of pod-network-latency: netem where packets leave the pod. */
export const podNetworkLatencyNode = defineNodeFault<Params, NetworkPlan>({
  id: 'pod-network-latency',
  ...networkActs,

  params: (raw) => {
    const { latencyMs, jitterMs, correlationPercent, filter } = raw as Params
    const fine = isWhole(latencyMs, 1) && isWhole(jitterMs, 0) && isWhole(correlationPercent, 0)
    if (fine && filter) return { latencyMs, jitterMs, correlationPercent, filter }
    throw new NodeTrouble(
      'INVALID_SPEC',
      'pod-network-latency: latencyMs must be a whole number from 1 on, jitterMs and correlationPercent from 0 on.',
    )
  },

  facility(target, look, { filter }) {
    const { pid } = podNetwork(target, look)
    mustHave(filter.interface, target, look)
    const place = { device: filter.interface, aimed: isAimed(filter), ask: asking(pid, look) }
    const trouble = netemTrouble(place, look)
    if (trouble === null) return 'netem'
    throw noMeans(
      look,
      `This node cannot delay packets: ${trouble}. Load what is missing on the node; some distributions have it in a package of its own (kernel-modules-extra, linux-modules-extra).`,
    )
  },

  plan(target, { params }, look) {
    const { latencyMs, jitterMs, filter } = params
    const network = podNetwork(target, look)
    const matches = matchesOf({ ...filter, destinations: destinationsOf(filter, target, look) })
    const asked = { device: filter.interface, matches, netem: words(params) }
    const by = planNetem(target, asked, { ask: asking(network.pid, look), look })
    const which = isAimed(filter) ? 'the packets that leave it and are aimed at' : 'what leaves it'
    const jitter = jitterMs > 0 ? ` ± ${jitterMs} ms` : ''
    return { network, what: `${filter.interface} delays ${which} by ${latencyMs} ms${jitter}`, by }
  },
})
