import type { Clock } from '../../lib/clock.ts'
import type { Screen } from './terminal.ts'
import { duration, type Line, type Piece } from './view/text.ts'

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

/** Progress on a screen: lines that count on a terminal; else one line at the start, reminders, one at the end. */
export function createProgress(settings: ProgressSettings): Progress {
  const { screen, clock, signal, tickMs = 200, remindMs = 15_000 } = settings
  const running = new Set<Step>()
  const draw = () => screen.show([...running].map((step) => stepLine(step, clock.now())))
  const end = (step: Step, line: (step: Step, now: number) => Line) => {
    running.delete(step)
    step.ended.abort()
    screen.print(line(step, clock.now()))
    draw()
  }
  return {
    async step(title, work) {
      const step: Step = { title, note: '', startedAt: clock.now(), ended: new AbortController() }
      running.add(step)
      if (!screen.isTerminal) screen.print([[`  ${title} …`, 'dim']])
      const ticking = tick(AbortSignal.any([signal, step.ended.signal]), async (live) => {
        draw()
        await clock.sleep(screen.isTerminal ? tickMs : remindMs, live)
        if (!screen.isTerminal) screen.print(stepLine(step, clock.now()))
      })
      try {
        const result = await work((text) => {
          step.note = text
        })
        end(step, doneLine)
        return result
      } catch (error) {
        end(step, signal.aborted ? interruptedLine : failedLine)
        throw error
      } finally {
        await ticking
      }
    },
  }
}

type Step = { title: string; note: string; startedAt: number; ended: AbortController }

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

const stepLine = (step: Step, now: number): Line => [['● ', 'busy'], ...textOf(step, now)]
const doneLine = (step: Step, now: number): Line => [['✓ ', 'good'], ...textOf(step, now)]
const failedLine = ({ title, startedAt }: Step, now: number): Line => [
  ['✗ ', 'bad'],
  [title, 'plain'],
  [`  failed after ${duration(now - startedAt)}`, 'dim'],
]
const interruptedLine = ({ title, startedAt }: Step, now: number): Line => [
  ['■ ', 'busy'],
  [title, 'plain'],
  [`  interrupted after ${duration(now - startedAt)}`, 'dim'],
]
const textOf = ({ title, note, startedAt }: Step, now: number): Piece[] => [
  [title, 'plain'],
  [`  ${duration(now - startedAt)}`, 'dim'],
  [note ? `  ${note}` : '', 'dim'],
]
