import { seededChance } from '../../model/chance.ts'

/** The faults that are mixed; those with a fault pod, and those through the API. */
export const onNodes = ['pod-cpu-hog', 'pod-network-loss', 'pod-network-partition'] as const
export const throughApi = [
  'pod-delete',
  'node-taint',
  'pod-autoscaler',
  'pod-network-policy',
] as const
export type SoakFault = (typeof onNodes)[number] | (typeof throughApi)[number]

/** Who is killed. Program, guard and fault pod belong to one run; runner and leader to all. */
export const ownVictims = ['program', 'guard', 'pod'] as const
export const sharedVictims = ['runner', 'leader'] as const
export type Victim = (typeof ownVictims)[number] | (typeof sharedVictims)[number]

/** One short experiment, and the kill that meets it. */
export type Planned = {
  name: string
  fault: SoakFault
  seconds: number
  kill?: { victim: Victim; afterMs: number }
}

/**
 * The experiments of a soak; the same seed gives the same ones. Runner and leader are killed in the first half only:
 * in the second their memory is looked at, and a process that has just begun says nothing about it.
 */
export function planOf({ experiments, seed }: { experiments: number; seed: number }): Planned[] {
  const chance = seededChance(seed, 'soak')
  const one = <T>(of: readonly T[]): T => of[Math.floor(chance() * of.length)] as T
  return Array.from({ length: experiments }, (_, i) => {
    const fault = one<SoakFault>([...onNodes, ...throughApi])
    const seconds = 1 + Math.floor(chance() * 3)
    const afterMs = Math.floor(chance() * (seconds + 1) * 1000)
    const [own, shared] = [chance() < 0.5, chance() < 0.25 && i < experiments / 2]
    const [mine, everyones] = [one(ownVictims), one(sharedVictims)]
    const hasPod = (onNodes as readonly string[]).includes(fault)
    const victim = shared ? everyones : own && hasPod ? mine : undefined
    return {
      name: `soak-${String(i).padStart(4, '0')}`,
      fault,
      seconds,
      ...(victim ? { kill: { victim, afterMs } } : {}),
    }
  })
}
