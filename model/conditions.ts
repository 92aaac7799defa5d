import type { Condition } from './documents/status.ts'

/** What a condition says, before it is known when it began to say so. */
export type Saying = Pick<Condition, 'type' | 'status' | 'reason' | 'message'>

type Stamp = { before: readonly Condition[]; generation: number; now: number }

/** Conditions with their times: a condition whose status did not change keeps its transition time. */
export function stampConditions(
  sayings: readonly Saying[],
  { before, generation, now }: Stamp,
): Condition[] {
  return sayings.map((saying) => {
    const old = before.find(({ type }) => type === saying.type)
    const same = old !== undefined && old.status === saying.status
    return {
      ...saying,
      message: saying.message.slice(0, 32_000),
      lastTransitionTime: same ? old.lastTransitionTime : isoSeconds(now),
      observedGeneration: generation,
    }
  })
}

/** RFC 3339 with whole seconds, as `metav1.Time` is written. */
export const isoSeconds = (unixMs: number): string =>
  `${new Date(unixMs).toISOString().slice(0, -5)}Z`
