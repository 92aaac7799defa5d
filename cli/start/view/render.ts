import type { Stage, TargetState } from '../../../model/state.ts'
import type { ProbeView, TargetView, TaskView, View } from './model.ts'
import { bar, clock, type Line, type Piece, shorten, type Tone } from './text.ts'

/** Newest targets shown per task; the rest is counted. */
const shownTargets = 6
const barWidth = 20

/** The view as lines of at most `width` columns. */
export function render(view: View, width: number): Line[] {
  const steps = new Set(view.tasks.map((t) => t.step)).size
  const lines: Line[] = [
    head(view),
    ...(view.ending
      ? [
          [
            ['  ', 'plain'],
            [view.ending, 'busy'],
          ] as Line,
        ]
      : []),
    ...view.refusals.map((text): Line => [[`  ✗ ${text}`, 'bad']]),
    ...view.tasks.flatMap((task) => taskLines(task, steps)),
  ]
  return lines.map((line) => shorten(line, width))
}

function head(view: View): Line {
  const time = view.elapsedMs === null ? '' : `  ${clock(view.elapsedMs)}`
  const left = view.leftMs === null ? '' : `, about ${clock(view.leftMs)} left`
  const score = view.score === null ? '' : `  score ${view.score}`
  const result = view.verdict && view.verdict !== 'Awaited' ? `  ${view.verdict}` : ''
  return [
    [markOf(view.verdict, view.phase === 'Running'), toneOf(view.verdict)],
    [` ${view.title}`, 'strong'],
    [`  ${view.phase}`, toneOf(view.verdict)],
    [`${result}${score}`, toneOf(view.verdict)],
    [`${time}${left}`, 'dim'],
  ]
}

function taskLines(task: TaskView, steps: number): Line[] {
  const step = steps > 1 ? `step ${task.step}  ` : ''
  const first: Piece[] = [
    ['├─ ', 'dim'],
    [`${taskMark(task)} `, taskTone(task)],
    [task.name, 'strong'],
    [`  ${step}${task.fault}  `, 'dim'],
    [stageWords[task.stage], taskTone(task)],
    [task.verdict && task.verdict !== 'Awaited' ? `  ${task.verdict}` : '', toneOf(task.verdict)],
  ]
  if (task.share !== null && task.leftMs !== null)
    first.push([`  ${bar(task.share, barWidth)}`, 'busy'], [` ${clock(task.leftMs)} left`, 'dim'])
  return [first, ...task.probes.map(probeLine), ...targetLines(task), ...troubleLines(task)]
}

function probeLine(probe: ProbeView): Line {
  const tones = { Awaited: 'dim', Passed: 'good', Failed: 'bad', 'N/A': 'busy' } as const
  return [
    ['│    probe ', 'dim'],
    [`${probe.name} (${probe.mode})  `, 'plain'],
    [probe.verdict, tones[probe.verdict]],
    [probe.description ? `  ${probe.description}` : '', 'dim'],
  ]
}

function targetLines({ targets }: TaskView): Line[] {
  const hidden = Math.max(0, targets.length - shownTargets)
  const lines: Line[] = hidden > 0 ? [[[`│    … ${hidden} earlier targets`, 'dim']]] : []
  for (const target of targets.slice(hidden)) lines.push(targetLine(target), ...owed(target))
  return lines
}

function targetLine(target: TargetView): Line {
  const hit = target.hitMs === null ? '' : ` at ${clock(target.hitMs)}`
  const back = target.backMs === null ? '' : `, back at ${clock(target.backMs)}`
  const node = target.node ? ` on ${target.node}` : ''
  return [
    ['│    target ', 'dim'],
    [`${target.id}  `, 'plain'],
    [target.state, targetTones[target.state]],
    [`${hit}${back}${node}${target.note ? `  ${target.note}` : ''}`, 'dim'],
  ]
}

const owed = (target: TargetView): Line[] =>
  target.remaining.map((command) => [[`│      run by hand: ${command}`, 'bad']])

const troubleLines = ({ trouble }: TaskView): Line[] =>
  trouble ? [[[`│    ✗ ${trouble}`, 'bad']]] : []

const targetTones: Record<TargetState['state'], Tone> = {
  targeted: 'dim',
  untouched: 'dim',
  injected: 'busy',
  reverted: 'good',
  lost: 'bad',
  failed: 'bad',
  owed: 'bad',
  abandoned: 'bad',
}

/** The stages in words. */
export const stageWords: Record<Stage, string> = {
  pending: 'waiting',
  preparing: 'preparing',
  'pre-probes': 'probes before chaos',
  'ramp-up': 'ramp-up',
  chaos: 'chaos',
  reverting: 'putting back',
  'ramp-down': 'ramp-down',
  'post-probes': 'probes after chaos',
  done: 'done',
}

const marks: Record<string, [mark: string, tone: Tone]> = {
  Pass: ['✓', 'good'],
  Fail: ['✗', 'bad'],
  Error: ['!', 'bad'],
  Stopped: ['■', 'busy'],
}
const markOf = (verdict: string, running: boolean): string =>
  marks[verdict]?.[0] ?? (running ? '●' : '○')
const toneOf = (verdict: string): Tone => marks[verdict]?.[1] ?? 'plain'

const isBusy = (task: TaskView): boolean => task.stage !== 'pending' && task.stage !== 'done'
const taskMark = (task: TaskView): string => markOf(task.verdict, isBusy(task))
const taskTone = (task: TaskView): Tone => (isBusy(task) ? 'busy' : toneOf(task.verdict))
