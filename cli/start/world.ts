import type { Clock } from '../../lib/clock.ts'
import type { Cleanup } from './cleanup.ts'
import type { Progress } from './progress.ts'
import type { Screen } from './terminal.ts'

/** What every part of a start shares. */
export type World = {
  env: Record<string, string | undefined>
  pid: number
  clock: Clock
  screen: Screen
  progress: Progress
  cleanup: Cleanup
  /** the first Ctrl-C: end, and remove what was made */
  stop: AbortSignal
  /** something to be closed when all is done */
  atEnd(close: () => Promise<void>): void
}
