import { type CrashPoint, crashPoints } from '../../../lib/crash.ts'
import type { posedFaults } from './posed-faults.ts'

export type Fault = keyof typeof posedFaults

/** How a program comes to a point. */
export type Path =
  /** armed, told to go, held to the deadline, reported, told to quit */
  | 'whole'
  /** in a second life, after a first one that died while it held */
  | 'swept'
  /** the effect is ended by somebody else while it is held */
  | 'spoilt'
  /** told to stop before an effect is seen */
  | 'stopped at once'
  /** SIGTERM while it holds, as when its pod is deleted */
  | 'deleted'

const otherPaths: Partial<Record<CrashPoint, Path>> = {
  'program/sweeping': 'swept',
  'program/sweep-proven': 'swept',
  'program/sweep-lost': 'swept',
  'program/sweep-reported': 'swept',
  'program/lost': 'spoilt',
  'program/failed': 'stopped at once',
  'program/closed': 'deleted',
}
export const pathOf = (point: CrashPoint): Path => otherPaths[point] ?? 'whole'

/** What becomes of the pod after its program has died. */
export const afterwards = ['restarted', 'left to the guard', 'guard killed too'] as const

export type Case = {
  point: CrashPoint
  /** the n-th time that it is reached */
  time: number
  path: Path
  start: 'now' | 'wait'
  after: (typeof afterwards)[number]
}

/** Points that cannot be reached with a fault, and why. */
export const leftOut = (fault: Fault): Partial<Record<CrashPoint, string>> =>
  fault === 'pod-cpu-hog'
    ? {}
    : { 'program/failed': 'rules are in effect at once: there is no time to be stopped in' }

/** With two targets: one of them is hit, the other is not yet. */
const secondTime = new Set<CrashPoint>(['program/injecting', 'program/reverting'])

/** The moments of a fault's life; faults that do not differ in the program are tried at these alone. */
const moments = new Set<CrashPoint>([
  'program/planned',
  'program/journalled',
  'program/armed',
  'program/injecting',
  'program/injected',
  'program/holding',
  'program/reverting',
  'program/reverted',
  'program/sweeping',
])

/** Every point, each with everything that may follow. */
export function casesOf(fault: Fault): Case[] {
  const skipped = leftOut(fault)
  return (Object.keys(crashPoints) as CrashPoint[])
    .filter((point) => point.startsWith('program/') && skipped[point] === undefined)
    .filter((point) => fault === 'pod-cpu-hog' || moments.has(point))
    .flatMap((point) =>
      afterwards.map(
        (after): Case => ({
          point,
          time: secondTime.has(point) ? 2 : 1,
          path: pathOf(point),
          // both ways of starting are tried; who starts at once hears orders only later
          start: after === 'guard killed too' && pathOf(point) === 'whole' ? 'now' : 'wait',
          after,
        }),
      ),
    )
}
