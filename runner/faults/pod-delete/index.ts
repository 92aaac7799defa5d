import * as z from 'zod'
import { BadDuration, parseDuration } from '../../../model/duration.ts'
import { BadTunable, defineFault, type Tunables } from '../../../model/fault.ts'
import { suggest } from '../../../model/suggest.ts'
import { duration, textOf, wholeNumber, yesOrNo } from '../../../model/tunable.ts'

const orders = ['random', 'alphabetical', 'reverse'] as const

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
  order: z
    .enum(orders)
    .describe('Which of the matching pods are deleted, and in which order: by chance or by name.'),
  pauseMs: z
    .int()
    .min(0)
    .nullable()
    .describe(
      'Pause between two pods of one round, milliseconds; null: none, or the interval when SEQUENCE is serial.',
    ),
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

function orderOf(tunables: Tunables): (typeof orders)[number] {
  const text = textOf(tunables, 'POD_TERMINATION_ORDER').toLowerCase()
  const found = orders.find((order) => order === (text || 'random'))
  if (found) return found
  throw new BadTunable(
    'POD_TERMINATION_ORDER',
    `${JSON.stringify(text)} is no order`,
    suggest(text, orders),
  )
}

/** Not set and 0 are the same: SEQUENCE decides. */
function pauseOf(tunables: Tunables): number | null {
  const name = 'INTER_POD_KILL_INTERVAL_SECONDS'
  return duration(tunables, { name, minMs: 0, unset: 0 }) || null
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
  commands: ({ gracePeriodSeconds: grace }, { target: { namespace, name } }) => ({
    inject: [
      `kubectl -n ${namespace} delete pod ${name}${grace === null ? '' : ` --grace-period=${grace}`}${grace === 0 ? ' --force' : ''}`,
    ],
    undo: [],
  }),
  intervalMs: ({ interval }, chance) =>
    interval === null
      ? null
      : Math.round(interval.minMs + chance() * (interval.maxMs - interval.minMs)),
  order: ({ order }) => order,
  pauseMs: ({ pauseMs }) => pauseMs,
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
      name: 'POD_TERMINATION_ORDER',
      dialect: 'litmus',
      default: 'random',
      text: 'random, alphabetical or reverse: which of the matching pods are deleted, and in which order. Not for TARGET_PODS.',
    },
    {
      name: 'INTER_POD_KILL_INTERVAL_SECONDS',
      dialect: 'litmus',
      default: '0',
      text: 'Seconds between two pods of one round; 0: all at once, or CHAOS_INTERVAL apart when SEQUENCE is serial.',
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
    order: orderOf(tunables),
    pauseMs: pauseOf(tunables),
  }),
  fromChaosplane: (tunables) => ({
    gracePeriodSeconds: wholeNumber(tunables, {
      name: 'gracePeriodSeconds',
      min: 0,
      max: 86_400,
      unset: 0,
    }),
    interval: null,
    order: 'random' as const,
    pauseMs: null,
  }),
  permissions: [{ group: '', resource: 'pods', verbs: ['delete'], why: 'deletes the targets' }],
  capabilities: [],
  errorWhenNoEffect: 'CHAOS_INJECT_ERROR',
})
