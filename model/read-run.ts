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
  return {
    is: 'unreadable',
    why: `${['status.run', ...(issue?.path ?? [])].join('.')}: ${issue?.message}`,
  }
}
