import type { ProbeState, RunState } from '../../model/state.ts'
import {
  abandonedText,
  givenUpText,
  goesOnText,
  isAbandoned,
  isOver,
  isSpecChanged,
  type Moment,
  momentOf,
  noRunnerText,
  owedText,
  patienceMs,
  refusalText,
  specChangedText,
} from './conditions.ts'
import type { Seen } from './observe.ts'

/** One Event, told once per run; `time` counts those that a run can earn again and again. */
export type Told = { type: 'Normal' | 'Warning'; reason: string; note: string; time?: number }

/** Two of one key are the same Event. */
export const toldKey = ({ reason, time }: Told): string => (time ? `${reason}/${time}` : reason)

/** All Events that the run has earned so far, in the order in which they are told. */
export function happeningsOf(seen: Seen): Told[] {
  const { run, unclaimedForMs, unreadable } = seen
  // whoever comes upon it as a runner tells that it cannot be read
  if (unreadable !== null) return []
  if (unclaimedForMs !== null)
    return unclaimedForMs < patienceMs ? [] : [warn('NoRunner', noRunnerText)]
  if (!run) return isAbandoned(seen) ? [warn('RunnerGone', abandonedText(null))] : []
  const moment = momentOf(seen)
  return [
    ...started(seen, run, moment),
    ...checks(run),
    ...(isSpecChanged(seen) ? [warn('SpecChanged', specChangedText(run))] : []),
    ...pauses(run),
    ...(run.abort
      ? [
          warn(
            'AbortTriggered',
            `Ended early by ${run.abort.by}; what was injected is being put back.`,
          ),
        ]
      : []),
    ...(isOwed(run) ? [warn('RollbackFailed', owedText(run))] : []),
    ...(isAbandoned(seen) ? [warn('RunnerGone', abandonedText(run))] : []),
    ...(run.abandoned ? [warn('Abandoned', givenUpText(run))] : []),
    ...(moment === 'recovering'
      ? [normal('Recovering', 'The fault has ended; waiting for the steady state.')]
      : []),
    ...ended(seen, run, moment),
  ]
}

const normal = (reason: string, note: string): Told => ({ type: 'Normal', reason, note })
const warn = (reason: string, note: string): Told => ({ type: 'Warning', reason, note })

const isOwed = (run: RunState): boolean =>
  run.tasks.some(({ targets }) => targets.some(({ state }) => state === 'owed'))

/** Only the last pause: those before it were told in their time. */
function pauses({ pauses: time, paused, pausedMs = 0, abort }: RunState): Told[] {
  if (!time) return []
  const by = paused ? ` by ${paused.by}` : ''
  const goesOn = paused?.goesOn ?? []
  const told = [normal('Paused', `Paused${by}: what is held is put back, nothing is begun.`)]
  if (goesOn.length > 0) told.push(warn('NotPaused', goesOnText(goesOn)))
  if (!paused && !abort)
    told.push(normal('Resumed', `Resumed; paused for ${pausedMs / 1000} s in all.`))
  return told.map((one) => ({ ...one, time }))
}

function started({ judged }: Seen, run: RunState, moment: Moment): Told[] {
  if (moment === 'pending' || moment === 'checking') return []
  if (!run.tasks.some(({ chaosAt }) => chaosAt !== undefined)) {
    // a run that ended before its first fault never started
    if (isOver(moment)) return []
  }
  const tasks = `${run.tasks.length} task${run.tasks.length === 1 ? '' : 's'}`
  return [
    normal(
      'Started',
      `Run ${judged.experimentRunId ?? run.runId}: ${tasks}, runner ${run.runner}.`,
    ),
  ]
}

function checks(run: RunState): Told[] {
  const probes = run.tasks.flatMap(({ probes: all }) => all.filter(({ pre }) => pre !== undefined))
  const bad = probes.filter(({ pre }) => pre !== 'passed')
  if (bad.length > 0) return [warn('SteadyStateCheckFailed', bad.map(probeText).join('\n'))]
  const begun = run.tasks.some(({ chaosAt }) => chaosAt !== undefined)
  if (probes.length === 0 || !begun) return []
  return [normal('SteadyStateCheckPassed', `Passed: ${probes.map(({ name }) => name).join(', ')}.`)]
}

const probeText = ({ name, mode, description, trouble }: ProbeState): string =>
  `Probe ${name} (${mode}): ${trouble?.reason ?? description}`

function ended({ judged }: Seen, run: RunState, moment: Moment): Told[] {
  if (!isOver(moment)) return []
  if (run.refused && run.refused.length > 0) return [warn('Failed', refusalText(run.refused))]
  const score =
    judged.resiliencyScore === undefined ? '' : `, resiliency score ${judged.resiliencyScore}`
  const note = [`Verdict ${judged.verdict || 'none'}${score}.`, judged.message ?? '']
    .filter(Boolean)
    .join(' ')
  if (moment === 'completed') return [normal('Completed', note)]
  return [warn(moment === 'aborted' ? 'Aborted' : 'Failed', note)]
}
