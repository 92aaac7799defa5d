import { abandonedList } from '../../model/abandon.ts'
import type { Saying } from '../../model/conditions.ts'
import { unreadableText } from '../../model/read-run.ts'
import { openTargets, type RunState } from '../../model/state.ts'
import type { Seen } from './observe.ts'

/** Nobody claims a run or adopts a lost one: from here on the resource says so. */
export const patienceMs = 10_000

/** The moments of a run that conditions and Events tell apart. */
export type Moment =
  | 'pending'
  | 'checking'
  | 'running'
  | 'completing'
  | 'recovering'
  | 'completed'
  | 'failed'
  | 'aborted'

/** True when the run has its outcome. */
export const isOver = (moment: Moment): boolean =>
  moment === 'completed' || moment === 'failed' || moment === 'aborted'

/** Where the run stands. */
export function momentOf({ run, judged }: Pick<Seen, 'run' | 'judged'>): Moment {
  if (!run) return 'pending'
  if (run.refused && run.refused.length > 0) return 'failed'
  if (run.finishedAt !== undefined) {
    if (judged.phase === 'Completed') return 'completed'
    return run.abort && judged.verdict === 'Stopped' ? 'aborted' : 'failed'
  }
  switch (judged.phase) {
    case 'SteadyStateChecking':
      return 'checking'
    case 'Completing':
      return 'completing'
    case 'Recovering':
      return 'recovering'
    case 'Pending':
    case undefined:
      return 'pending'
    default:
      return 'running'
  }
}

type Three = Partial<Record<'Progressing' | 'Available' | 'Degraded', 'True' | 'False'>>

/** Progressing, Available and Degraded at each moment, with their common reason. */
const table: Record<Moment, { reason: string; says: Three }> = {
  pending: { reason: 'Pending', says: { Progressing: 'True' } },
  checking: { reason: 'SteadyStateChecking', says: { Progressing: 'True' } },
  running: {
    reason: 'ExperimentStarted',
    says: { Progressing: 'True', Available: 'False', Degraded: 'False' },
  },
  completing: { reason: 'ExperimentCompleting', says: { Progressing: 'True' } },
  recovering: { reason: 'Recovering', says: { Progressing: 'True' } },
  completed: {
    reason: 'ExperimentCompleted',
    says: { Progressing: 'False', Available: 'True', Degraded: 'False' },
  },
  failed: {
    reason: 'ExperimentFailed',
    says: { Progressing: 'False', Available: 'False', Degraded: 'True' },
  },
  aborted: {
    reason: 'ExperimentAborted',
    says: { Progressing: 'False', Available: 'False', Degraded: 'False' },
  },
}

/** All conditions of one experiment, without times. */
export function conditionsOf(seen: Seen): Saying[] {
  if (seen.unreadable !== null) return unreadable(seen, seen.unreadable)
  const { reason, says } = table[momentOf(seen)]
  const message = seen.judged.message ?? ''
  const three = Object.entries(says).map(([type, status]) => ({ type, status, reason, message }))
  return [
    ...three,
    ...claimed(seen),
    ...refused(seen.run),
    ...ignored(seen.run),
    ...rehearsed(seen),
    ...dropped(seen.run),
    ...capped(seen.run),
    ...specChanged(seen),
    ...paused(seen.run),
    ...stuck(seen),
    ...givenUp(seen.run),
  ]
}

/** What was said before stays said, but for `Stuck`. */
function unreadable({ before }: Seen, why: string): Saying[] {
  const kept = (before.conditions ?? []).filter(({ type }) => type !== 'Stuck')
  const message = unreadableText(why)
  return [...kept, { type: 'Stuck', status: 'True', reason: 'RecordUnreadable', message }]
}

function claimed({ run, unclaimedForMs }: Seen): Saying[] {
  if (unclaimedForMs !== null && unclaimedForMs >= patienceMs)
    return [{ type: 'Claimed', status: 'False', reason: 'NoRunner', message: noRunnerText }]
  if (!run || unclaimedForMs !== null) return []
  const message = `Carried out by ${run.runner}.`
  return [{ type: 'Claimed', status: 'True', reason: 'RunnerFound', message }]
}

/** Why nothing happens, and what to look at. */
export const noRunnerText =
  'No runner has taken this experiment yet. Check that the runner is up: kubectl get deployments -A -l app.kubernetes.io/component=runner; its log says what hinders it.'

function refused(run: RunState | null): Saying[] {
  if (!run?.refused || run.refused.length === 0) return []
  const { refused, refusedAs: reason = 'InvalidSpec' } = run
  return [{ type: 'Refused', status: 'True', reason, message: refusalText(refused) }]
}

/** Refusals as one text, the next step with each. */
export const refusalText = (refusals: NonNullable<RunState['refused']>): string =>
  refusals
    .map(
      ({ path, reason, suggestion }) => `${path}: ${reason}${suggestion ? `; ${suggestion}` : ''}`,
    )
    .join('\n')

function ignored(run: RunState | null): Saying[] {
  if (!run || run.notes.length === 0) return []
  const message = run.notes.join('\n')
  return [{ type: 'FieldsIgnored', status: 'True', reason: 'NotUsed', message }]
}

function dropped(run: RunState | null): Saying[] {
  const tasks = (run?.tasks ?? []).filter((t) => t.dropped)
  if (tasks.length === 0) return []
  const counts = tasks.map((t) => `${t.name}: ${t.dropped}`).join(', ')
  const message = `status.run has no room for all records of targets that are done with; left out are, by task, ${counts}. Nothing that is still to be put back is left out.`
  return [{ type: 'RecordsDropped', status: 'True', reason: 'NoRoom', message }]
}

/** A dry run says what it is, and whether a run could begin. */
function rehearsed({ run, judged }: Seen): Saying[] {
  if (!run?.dryRun) return []
  const reason = judged.verdict === 'Error' ? 'WouldFail' : 'NothingTouched'
  return [{ type: 'DryRun', status: 'True', reason, message: judged.message ?? '' }]
}

/** What came while a fault was held and was left alone. */
function capped(run: RunState | null): Saying[] {
  const lines = (run?.tasks ?? []).flatMap((t) => (t.capped ? [`${t.name}: ${t.capped}`] : []))
  if (lines.length === 0) return []
  return [{ type: 'Capped', status: 'True', reason: 'LimitReached', message: lines.join('\n') }]
}

/** True while the resource asks for something else than what is carried out. */
export function isSpecChanged({ object, run, before, differs }: Seen): boolean {
  const told = before.conditions?.some((c) => c.type === 'SpecChanged' && c.status === 'True')
  if (!run) return false
  if (run.edited) return true
  if (differs !== null) return differs
  // Deletion raises the generation too; after the end an edit concerns nobody, what was said stays said.
  if (object.metadata.deletionTimestamp || run.finishedAt !== undefined)
    return told === true && before.experimentRunId === run.runId
  return (object.metadata.generation ?? run.generation) > run.generation
}

/** What an edit in mid-run means, or has led to. */
export const specChangedText = (run: RunState | null): string =>
  run?.edited
    ? 'The experiment was edited while its run was under way, and the runner, which alone knew what the run was to do, was replaced: the run was ended, and what it held is put back. Create a new experiment to run the edited one.'
    : 'The experiment was edited while its run was under way. The run goes on as it was started as long as its runner lives; a runner that takes it over ends it, puts everything back, and the verdict is Error. Undo the edit to avoid that, and create a new experiment to run the edited one.'

function specChanged(seen: Seen): Saying[] {
  if (!isSpecChanged(seen)) return []
  const reason = seen.run?.edited ? 'RunEnded' : 'Ignored'
  const message = specChangedText(seen.run)
  return [{ type: 'SpecChanged', status: 'True', reason, message }]
}

/** What a pause does not reach. */
export const goesOnText = (tasks: string[]): string =>
  `Strikes at once, so what it has begun cannot be paused and goes on: ${tasks.join(', ')}.`

function paused(run: RunState | null): Saying[] {
  if (!run?.pauses) return []
  const { paused: pause, pauses, pausedMs = 0 } = run
  if (!pause) {
    const message = `Paused ${pauses === 1 ? 'once' : `${pauses} times`}, for ${pausedMs / 1000} s in all.`
    const reason = run.abort ? 'RunEnded' : 'Resumed'
    return [{ type: 'Paused', status: 'False', reason, message }]
  }
  const open = openTargets(run).length
  const message = [
    `By ${pause.by} since ${new Date(pause.since).toISOString()}.`,
    open > 0 ? `${open} targets are being put back.` : 'Nothing is injected.',
    ...(pause.goesOn.length > 0 ? [goesOnText(pause.goesOn)] : []),
  ].join(' ')
  return [{ type: 'Paused', status: 'True', reason: 'PauseRequested', message }]
}

/** True when the runner has gone and no other has taken the run over. */
export const isAbandoned = ({ runner }: Seen): boolean =>
  runner !== null && !runner.alive && runner.goneForMs >= patienceMs

/** What is owed, to whom, until when, and what can be done by hand. */
export function owedText(run: RunState | null): string {
  const lines = (run ? openTargets(run) : []).map(({ id, node, endsAt, remaining }) => {
    const until = endsAt ? `, ends by itself at ${new Date(endsAt).toISOString()}` : ''
    const hand = remaining && remaining.length > 0 ? `; by hand: ${remaining.join(' && ')}` : ''
    return `${id}${node ? ` on node ${node}` : ''}${until}${hand}`
  })
  return lines.length === 0 ? 'Nothing is injected.' : `Still to be put back: ${lines.join('. ')}.`
}

function stuck(seen: Seen): Saying[] {
  const { run } = seen
  // given up, it waits for nobody
  if (run?.abandoned && run.finishedAt !== undefined) return []
  if (isAbandoned(seen))
    return [{ type: 'Stuck', status: 'True', reason: 'RunnerGone', message: abandonedText(run) }]
  if (!run?.tasks.some(({ targets }) => targets.some(({ state }) => state === 'owed'))) return []
  return [{ type: 'Stuck', status: 'True', reason: 'RollbackFailed', message: owedText(run) }]
}

/** What somebody gave up, with his reason and with what is left. */
export const givenUpText = (run: RunState): string =>
  `Given up: ${run.abandoned?.reason}. Left as it is: ${abandonedList(run)}.`

const givenUp = (run: RunState | null): Saying[] =>
  run?.abandoned
    ? [{ type: 'Abandoned', status: 'True', reason: 'GivenUp', message: givenUpText(run) }]
    : []

/** What a run without a runner says. */
export const abandonedText = (run: RunState | null): string =>
  `The runner ${run?.runner ?? ''} has gone and no other has taken the run over. ${owedText(run)} Check the runner: kubectl get deployments -A -l app.kubernetes.io/component=runner`
