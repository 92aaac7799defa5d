import * as z from 'zod'
import { BadDuration, parseDuration } from '../../../model/duration.ts'
import { BadTunable, defineFault, type Tunables } from '../../../model/fault.ts'
import { textOf, wholeNumber, yesOrNo } from '../../../model/tunable.ts'

const params = z.object({
  gracePeriodSeconds: z
    .int()
    .min(0)
    .max(86_400)
    .nullable()
    .describe('Grace period of the deletion in seconds; null: the one of the pod itself.'),
  interval: z
    .object({
      minMs: z.int().min(0).describe('Shortest pause between two deletions, milliseconds.'),
      maxMs: z.int().min(1).describe('Longest pause between two deletions, milliseconds.'),
    })
    .nullable()
    .describe('Pause between deletions while the duration lasts; null: pods are deleted once.'),
})
export type PodDeleteParams = z.infer<typeof params>

/** A shorter pause would only ask the API server for pods that cannot have started yet. */
const shortestIntervalMs = 100

function bound(text: string): number {
  try {
    return parseDuration(text)
  } catch (error) {
    if (!(error instanceof BadDuration)) throw error
    throw new BadTunable('CHAOS_INTERVAL', error.message, 'write seconds, for example "10"')
  }
}

function intervalOf(tunables: Tunables): { minMs: number; maxMs: number } {
  const text = textOf(tunables, 'CHAOS_INTERVAL') || '10'
  const random = yesOrNo(tunables, 'RANDOMNESS', false)
  const [low, high, ...rest] = text.split('-').map((part) => part.trim())
  if (rest.length > 0 || low === undefined || (high !== undefined && !random))
    throw new BadTunable(
      'CHAOS_INTERVAL',
      `${JSON.stringify(text)} is a range, and a range needs RANDOMNESS "true" and two numbers`,
      'write one number of seconds, or set RANDOMNESS to "true" and write for example "5-10"',
    )
  const maxMs = bound(high ?? low)
  const minMs = high === undefined ? (random ? 0 : maxMs) : bound(low)
  if (maxMs < shortestIntervalMs || minMs > maxMs)
    throw new BadTunable(
      'CHAOS_INTERVAL',
      `${JSON.stringify(text)} is not a pause of at least ${shortestIntervalMs} ms, or the range is the wrong way round`,
      'write seconds, for example "10", or a range such as "5-10"',
    )
  return { minMs: Math.max(minMs, shortestIntervalMs), maxMs }
}

/** Deletes pods through the API and sees them replaced. */
export const podDelete = defineFault({
  id: 'pod-delete',
  title: 'Delete pods',
  names: { litmus: ['pod-delete'], chaosplane: ['pod-kill'] },
  hands: 'kube',
  lasts: 'instant',
  targets: 'pods',
  defaults: { durationMs: 30_000 },
  params,
  intervalMs: ({ interval }, chance) =>
    interval === null
      ? null
      : Math.round(interval.minMs + chance() * (interval.maxMs - interval.minMs)),
  tunables: [
    {
      name: 'CHAOS_INTERVAL',
      dialect: 'litmus',
      default: '10',
      text: 'Seconds between deletions; with RANDOMNESS a range such as 5-10, or the longest pause.',
    },
    {
      name: 'RANDOMNESS',
      dialect: 'litmus',
      default: 'false',
      text: 'true: the pause between deletions is drawn from the range.',
    },
    {
      name: 'FORCE',
      dialect: 'litmus',
      default: 'false',
      text: 'true: grace period 0; false: the grace period of the pod.',
    },
    {
      name: 'gracePeriodSeconds',
      dialect: 'chaosplane',
      default: '0',
      text: 'Grace period of the deletion in seconds. Pods are deleted once.',
    },
  ],
  fromLitmus: (tunables) => ({
    gracePeriodSeconds: yesOrNo(tunables, 'FORCE', false) ? 0 : null,
    interval: intervalOf(tunables),
  }),
  fromChaosplane: (tunables) => ({
    gracePeriodSeconds: wholeNumber(tunables, {
      name: 'gracePeriodSeconds',
      min: 0,
      max: 86_400,
      unset: 0,
    }),
    interval: null,
  }),
  permissions: [{ group: '', resource: 'pods', verbs: ['delete'], why: 'deletes the targets' }],
  capabilities: [],
  errorWhenNoEffect: 'CHAOS_INJECT_ERROR',
})
