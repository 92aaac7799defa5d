import type { NodeOrder } from './fault-pod.ts'
import { mayBeOpen } from './fault-pod-recovery.ts'
import { journalFolder } from './fault-pod-spec.ts'
import { short } from './snapshot.ts'
import { isEnded, type RunState, type TargetState, type TaskState } from './state.ts'

/** The way out when something cannot be put back: its value is the reason, in the words of who decided it. */
export const abandonAnnotation = 'chaos.chaosplane.io/abandon'

const maxReason = 500

/** What the annotation asks; null: nothing, empty: to give up without saying why, which is refused. */
export const abandonReason = (annotations: Record<string, string> | undefined): string | null =>
  annotations?.[abandonAnnotation]?.trim().slice(0, maxReason) ?? null

/** Why giving up without a reason is refused. */
export const noReasonText = `The annotation ${abandonAnnotation} needs a reason: what is left, and who looks after it, is recorded with it. Nothing was given up.`

/** Why giving up changed nothing. */
export const nothingOwedText = `Nothing is owed at the moment, so the annotation ${abandonAnnotation} has no effect. While something is held, ${'chaos.chaosplane.io/abort'} ends it; kubectl delete removes the resource.`

export const isOwed = ({ state }: TargetState): boolean => state === 'owed'

/** What a human runs on the node when no program can: the undo files of the journal. */
export const undoByHand = (order: Pick<NodeOrder, 'cluster' | 'node' | 'run' | 'task'>): string =>
  `on node ${order.node}, as root: for f in ${journalFolder(order)}/go-*.sh; do sh "$f"; done`

type GivenUp = { reason: string; at: number }

const cutBy = (reason: string): NonNullable<TaskState['trouble']> => ({
  code: 'CHAOS_REVERT_ERROR',
  reason: `what could not be put back was given up: ${reason}`,
})

/** What is owed is recorded as given up; everything else goes on to its end. */
export const giveUpOwed = (run: RunState, { reason, at }: GivenUp): RunState => ({
  ...run,
  abandoned: { reason: short(reason, maxReason), at },
  tasks: run.tasks.map((task) =>
    task.targets.some(isOwed)
      ? {
          ...task,
          trouble: task.trouble ?? cutBy(reason),
          targets: task.targets.map((t) => (isOwed(t) ? { ...t, state: 'abandoned' } : t)),
        }
      : task,
  ),
})

/** Something may be left of it: on its node, or through the API. */
const isOpen = (target: TargetState, task: TaskState): boolean =>
  !isEnded(target) && (mayBeOpen(target, task) || target.undo !== undefined)

/** Whether anything of the run may be left. */
export const isAnyOpen = ({ tasks }: RunState): boolean =>
  tasks.some((task) => task.targets.some((t) => isOpen(t, task)))

/** The end of a run that no runner carries on: all that may be left is recorded as given up. */
export function giveUpRun(run: RunState, { reason, at }: GivenUp, cluster: string): RunState {
  const end = (task: TaskState): TaskState => ({
    ...task,
    stage: 'done',
    finishedAt: task.finishedAt ?? at,
    ...(task.targets.some((t) => isOpen(t, task))
      ? { trouble: task.trouble ?? cutBy(reason) }
      : {}),
    ...(task.startedAt === undefined ? { skipped: true } : {}),
    targets: task.targets.map((t) => givenUp(t, task, { cluster, run: run.runId })),
  })
  return {
    ...run,
    abandoned: { reason: short(reason, maxReason), at },
    abort: run.abort ?? { by: `annotation ${abandonAnnotation}`, at },
    tasks: run.tasks.map(end),
    finishedAt: run.finishedAt ?? at,
  }
}

function givenUp(
  target: TargetState,
  task: TaskState,
  of: { cluster: string; run: string },
): TargetState {
  if (!isOpen(target, task))
    return target.state === 'targeted' ? { ...target, state: 'untouched' } : target
  const { node } = target
  const byHand =
    node && target.containerId
      ? undoByHand({ ...of, node, task: task.name })
      : `put ${target.id} back as status.run says under undo`
  const remaining = target.remaining?.length ? target.remaining : [byHand]
  return { ...target, state: 'abandoned', remaining }
}

/** What was given up, by name, with what is left to be done. */
export function abandonedList({ tasks }: RunState): string {
  const all = tasks.flatMap(({ targets }) => targets.filter(({ state }) => state === 'abandoned'))
  return all
    .map(({ id, node, remaining = [] }) =>
      [`${id}${node ? ` on node ${node}` : ''}`, ...remaining].join('; by hand: '),
    )
    .join('. ')
}
