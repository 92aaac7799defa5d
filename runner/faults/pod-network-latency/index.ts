import * as z from 'zod'
import { defineFault } from '../../../model/fault.ts'
import {
  filterOf,
  filterTunables,
  networkFilter,
  noFilter,
  onPackets,
} from '../../../model/network.ts'
import { milliseconds, percentage } from '../../../model/tunable.ts'

const longestMs = 3_600_000

const params = z.object({
  latencyMs: z.int().min(1).max(longestMs).describe('How long each packet is kept, milliseconds.'),
  jitterMs: z
    .int()
    .min(0)
    .max(longestMs)
    .describe('How far that differs from packet to packet, up or down, milliseconds.'),
  correlationPercent: z
    .int()
    .min(0)
    .max(100)
    .describe('How much the difference depends on that of the packet before, percent.'),
  filter: networkFilter.describe('Which packets.'),
})
export type PodNetworkLatencyParams = z.infer<typeof params>

const jitterText =
  'How far the delay differs from packet to packet, up or down, as above; packets may then overtake each other.'
const correlationText =
  'How much the difference depends on that of the packet before, percent; counts with a jitter only.'

/** Packets that leave the pod are kept for a while. */
export const podNetworkLatency = defineFault({
  id: 'pod-network-latency',
  title: 'Delay packets that leave a pod',
  names: { litmus: ['pod-network-latency'], chaosplane: ['network-delay'] },
  ...onPackets,
  params,
  tunables: [
    {
      name: 'NETWORK_LATENCY',
      dialect: 'litmus',
      default: '2s',
      text: 'Delay of each packet: a duration such as 2s or 150ms; plain numbers are milliseconds.',
    },
    { name: 'JITTER', dialect: 'litmus', default: '0', text: jitterText },
    { name: 'CORRELATION', dialect: 'litmus', default: '0', text: correlationText },
    ...filterTunables,
    {
      name: 'latency',
      dialect: 'chaosplane',
      default: '100ms',
      text: 'Delay of each packet: a duration such as 2s or 150ms; plain numbers are milliseconds.',
    },
    { name: 'jitter', dialect: 'chaosplane', default: '0', text: jitterText },
    { name: 'correlation', dialect: 'chaosplane', default: '0', text: correlationText },
  ],
  fromLitmus: (tunables) => ({
    latencyMs: milliseconds(tunables, {
      name: 'NETWORK_LATENCY',
      min: 1,
      max: longestMs,
      unset: 2000,
    }),
    jitterMs: milliseconds(tunables, { name: 'JITTER', min: 0, max: longestMs, unset: 0 }),
    correlationPercent: percentage(tunables, { name: 'CORRELATION', min: 0, unset: 0 }),
    filter: filterOf(tunables),
  }),
  fromChaosplane: (tunables) => ({
    latencyMs: milliseconds(tunables, { name: 'latency', min: 1, max: longestMs, unset: 100 }),
    jitterMs: milliseconds(tunables, { name: 'jitter', min: 0, max: longestMs, unset: 0 }),
    correlationPercent: percentage(tunables, { name: 'correlation', min: 0, unset: 0 }),
    filter: noFilter,
  }),
})
