import type { Clock } from '../../lib/clock.ts'
import type { Screen } from './terminal.ts'
import { duration, type Line } from './view/text.ts'

/** Shows the steps of the set-up, each with the time that it takes. */
export type Progress = {
  /** runs `work` as a step; `say` tells what it is at */
  step<T>(title: string, work: (say: (note: string) => void) => Promise<T>): Promise<T>
}
export type ProgressSettings = {
  screen: Screen
  clock: Clock
  signal: AbortSignal
  /** milliseconds between two signs of life on a terminal */
  tickMs?: number
  /** and without one */
  remindMs?: number
}

/** Progress on a screen: a line that counts on a terminal; else one line at the start, reminders, one at the end. */
export function createProgress(settings: ProgressSettings): Progress {
  const { screen, clock, signal, tickMs = 200, remindMs = 15_000 } = settings
  return {
    async step(title, work) {
      const startedAt = clock.now()
      let note = ''
      const line = (): Line => stepLine(title, note, clock.now() - startedAt)
      if (!screen.isTerminal) screen.print([[`  ${title} …`, 'dim']])
      const ended = new AbortController()
      const ticking = tick(AbortSignal.any([signal, ended.signal]), async (live) => {
        if (screen.isTerminal) screen.show([line()])
        await clock.sleep(screen.isTerminal ? tickMs : remindMs, live)
        if (!screen.isTerminal) screen.print(line())
      })
      try {
        const result = await work((text) => {
          note = text
        })
        ended.abort()
        screen.show([])
        screen.print(doneLine(title, note, clock.now() - startedAt))
        return result
      } catch (error) {
        ended.abort()
        screen.show([])
        screen.print(failedLine(title, clock.now() - startedAt, signal.aborted))
        throw error
      } finally {
        await ticking
      }
    },
  }
}

async function tick(
  signal: AbortSignal,
  once: (signal: AbortSignal) => Promise<void>,
): Promise<void> {
  try {
    while (!signal.aborted) await once(signal)
  } catch (error) {
    if (!signal.aborted) throw error
  }
}

const stepLine = (title: string, note: string, ms: number): Line => [
  ['● ', 'busy'],
  [title, 'plain'],
  [`  ${duration(ms)}`, 'dim'],
  [note ? `  ${note}` : '', 'dim'],
]
const doneLine = (title: string, note: string, ms: number): Line => [
  ['✓ ', 'good'],
  [title, 'plain'],
  [`  ${duration(ms)}`, 'dim'],
  [note ? `  ${note}` : '', 'dim'],
]
const failedLine = (title: string, ms: number, interrupted: boolean): Line => [
  [interrupted ? '■ ' : '✗ ', interrupted ? 'busy' : 'bad'],
  [title, 'plain'],
  [`  ${interrupted ? 'interrupted' : 'failed'} after ${duration(ms)}`, 'dim'],
]
