import { z } from 'zod'
import { BadTunable, defineFault, type Tunables } from '../../../model/fault.ts'
import { filterOf, filterTunables, networkFilter, noFilter } from '../../../model/network.ts'
import { textOf, wholeNumber } from '../../../model/tunable.ts'

const params = z.object({
  lossPercent: z.int().min(1).max(100).describe('Share of the packets that are lost, percent.'),
  filter: networkFilter.describe('Which packets.'),
})
export type PodNetworkLossParams = z.infer<typeof params>

/** Each packet is lost or not, whatever became of the one before: a correlation would need netem. */
function refuseCorrelation(tunables: Tunables, name: string): void {
  const text = textOf(tunables, name)
  if (text === '' || /^0+%?$/.test(text)) return
  throw new BadTunable(
    name,
    `${JSON.stringify(text)}: losses are independent of each other here`,
    'leave it out, or write "0"',
  )
}

/** Packets that leave the pod are lost without a word to the sender. */
export const podNetworkLoss = defineFault({
  id: 'pod-network-loss',
  title: 'Lose packets that leave a pod',
  names: { litmus: ['pod-network-loss'], chaosplane: ['network-loss'] },
  hands: 'node',
  lasts: 'while-held',
  targets: 'containers',
  defaults: { durationMs: 60_000 },
  params,
  tunables: [
    {
      name: 'NETWORK_PACKET_LOSS_PERCENTAGE',
      dialect: 'litmus',
      default: '100',
      text: 'Share of the packets that are lost, percent.',
    },
    ...filterTunables,
    {
      name: 'CORRELATION',
      dialect: 'litmus',
      default: '0',
      text: 'Only 0: losses are independent of each other.',
    },
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
    {
      name: 'correlation',
      dialect: 'chaosplane',
      default: '0',
      text: 'Only 0: losses are independent of each other.',
    },
  ],
  fromLitmus: (tunables) => {
    refuseCorrelation(tunables, 'CORRELATION')
    const name = 'NETWORK_PACKET_LOSS_PERCENTAGE'
    return {
      lossPercent: wholeNumber(tunables, { name, min: 1, max: 100, unset: 100 }),
      filter: filterOf(tunables),
    }
  },
  fromChaosplane: (tunables) => {
    refuseCorrelation(tunables, 'correlation')
    const bounds = { min: 1, max: 100 }
    const loss = wholeNumber(tunables, { name: 'loss', ...bounds, unset: 10 })
    return {
      lossPercent: wholeNumber(tunables, { name: 'percent', ...bounds, unset: loss }),
      filter: noFilter,
    }
  },
  permissions: [
    {
      group: '',
      resource: 'pods/exec',
      verbs: ['create'],
      why: 'the right to run something in the target: asked for before a fault pod is started, never used',
    },
  ],
  capabilities: ['NET_ADMIN', 'SYS_ADMIN', 'SYS_PTRACE'],
  errorWhenNoEffect: 'EFFECT_NOT_SEEN',
})
