import * as z from 'zod'
import { defineFault } from '../../../model/fault.ts'
import {
  filterOf,
  filterTunables,
  networkFilter,
  noFilter,
  onPackets,
} from '../../../model/network.ts'
import { percentage } from '../../../model/tunable.ts'

const params = z.object({
  lossPercent: z.int().min(1).max(100).describe('Share of the packets that are lost, percent.'),
  correlationPercent: z
    .int()
    .min(0)
    .max(100)
    .describe('How much a loss depends on the one before, percent; needs netem on the node.'),
  filter: networkFilter.describe('Which packets.'),
})
export type PodNetworkLossParams = z.infer<typeof params>

const correlationText =
  'How much each loss depends on the one before, percent, so that losses come in rows; not 0 needs netem on the node.'

/** Packets that leave the pod are lost without a word to the sender. */
export const podNetworkLoss = defineFault({
  id: 'pod-network-loss',
  title: 'Lose packets that leave a pod',
  names: { litmus: ['pod-network-loss'], chaosplane: ['network-loss'] },
  ...onPackets,
  params,
  tunables: [
    {
      name: 'NETWORK_PACKET_LOSS_PERCENTAGE',
      dialect: 'litmus',
      default: '100',
      text: 'Share of the packets that are lost, percent.',
    },
    ...filterTunables,
    { name: 'CORRELATION', dialect: 'litmus', default: '0', text: correlationText },
    {
      name: 'percent',
      dialect: 'chaosplane',
      default: '10',
      text: 'Share of the packets that are lost, percent.',
    },
    {
      name: 'loss',
      dialect: 'chaosplane',
      default: '10',
      text: 'The same; `percent` counts when both are given.',
    },
    { name: 'correlation', dialect: 'chaosplane', default: '0', text: correlationText },
  ],
  fromLitmus: (tunables) => ({
    lossPercent: percentage(tunables, {
      name: 'NETWORK_PACKET_LOSS_PERCENTAGE',
      min: 1,
      unset: 100,
    }),
    correlationPercent: percentage(tunables, { name: 'CORRELATION', min: 0, unset: 0 }),
    filter: filterOf(tunables),
  }),
  fromChaosplane: (tunables) => {
    const loss = percentage(tunables, { name: 'loss', min: 1, unset: 10 })
    return {
      lossPercent: percentage(tunables, { name: 'percent', min: 1, unset: loss }),
      correlationPercent: percentage(tunables, { name: 'correlation', min: 0, unset: 0 }),
      filter: noFilter,
    }
  },
})
