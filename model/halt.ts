import type { Refusal } from './plan.ts'
import { short } from './snapshot.ts'

/** The kill switch: this annotation, with the reason as its value, on this ConfigMap in the product's namespace. */
export const haltAnnotation = 'chaos.chaosplane.io/halt'
export const haltConfigMap = 'chaosplane-harness'

const maxReason = 150
const lifted = new Set(['false', 'no', '0'])

/** Why everything is halted; null: it is not. Without words it counts too: who pulls a kill switch is in a hurry. */
export function haltReason(annotations: Record<string, string> | undefined): string | null {
  const said = annotations?.[haltAnnotation]?.trim()
  if (said === undefined || lifted.has(said.toLowerCase())) return null
  return said === '' ? 'no reason given' : short(said, maxReason)
}

/** Who aborted a run, in the words of its record. */
export const haltedBy = (reason: string): string => `the kill switch (${reason})`

/** Why a run is not begun. */
export const haltRefusal = (reason: string, namespace: string): Refusal => ({
  path: `ConfigMap ${namespace}/${haltConfigMap}, annotation ${haltAnnotation}`,
  reason: `the kill switch is pulled (${reason}), so nothing is begun`,
  suggestion: 'have it lifted, then create the experiment anew, or give it a new experimentRunId',
})
