import { createHash } from 'node:crypto'
import { accountAnnotation } from './compile/chaos-experiment.ts'
import type { Plan } from './plan.ts'

/** Written into a spec by control planes, and by whoever ends a run or starts the next one: no other thing is asked by them. */
const notAsked = new Set(['experimentRunId', 'engineState'])

type Document = {
  metadata: { annotations?: Record<string, string> }
  spec?: Record<string, unknown>
}

/**
 * Tells whether a document still asks for what it asked for when its run began. Of the document as it was written: what
 * is compiled from it may change with the version. The generation would not do: deletion raises it, and it knows nothing
 * of the account in the annotation.
 */
export function documentMark(kind: Plan['dialect'], { metadata, spec = {} }: Document): string {
  const asked = Object.entries(spec).filter(([name]) => !notAsked.has(name))
  const account =
    kind === 'ChaosExperiment' ? (metadata.annotations?.[accountAnnotation] ?? '').trim() : ''
  const text = JSON.stringify(sorted([Object.fromEntries(asked), account]))
  return createHash('sha256').update(text).digest('hex').slice(0, 32)
}

/** The order of fields means nothing. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted)
  if (typeof value !== 'object' || value === null) return value
  const fields = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
  return Object.fromEntries(fields.map(([name, of]) => [name, sorted(of)]))
}
