import { runFinalizer } from './runner-life.ts'
import { type RunState, runStateSchema } from './state.ts'

/** What stands in `status.run`: a state, nothing, or something that cannot be read. */
export type ReadRun =
  | { is: 'absent' }
  | { is: 'state'; state: RunState }
  | { is: 'unreadable'; why: string }

/** Reads `status.run`; what is wrong is named by its path. */
export function readRun(raw: unknown): ReadRun {
  if (raw === undefined || raw === null) return { is: 'absent' }
  const parsed = runStateSchema.safeParse(raw)
  if (parsed.success) return { is: 'state', state: parsed.data }
  const issue = parsed.error.issues[0]
  const path = ['status.run', ...(issue?.path ?? [])].join('.')
  return { is: 'unreadable', why: `${path}: ${issue?.message}` }
}

const known = new WeakMap<object, string | null>()

/** Why `status.run` cannot be read; null: it can, or there is none. Each object is looked through once. */
export function whyUnreadable(raw: unknown): string | null {
  const before = typeof raw === 'object' && raw !== null ? known.get(raw) : undefined
  if (before !== undefined) return before
  const read = readRun(raw)
  const why = read.is === 'unreadable' ? read.why : null
  if (typeof raw === 'object' && raw !== null) known.set(raw, why)
  return why
}

/** What a record that cannot be read means, and the way on. */
export const unreadableText = (why: string): string =>
  `status.run cannot be read (${why}), so nobody knows what is still to be put back, and nothing is done with this experiment. Restore it; or see that no fault pod of it is left (kubectl get pods -A -l chaos.chaosplane.io/resource-uid=UID) and take the finalizer ${runFinalizer} off.`
