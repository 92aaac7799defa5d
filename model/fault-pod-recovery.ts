import { createHash } from 'node:crypto'
import type { NodeOrder } from './fault-pod.ts'
import { faultContainer, faultPodLabels } from './fault-pod-spec.ts'
import { lastWord } from './last-word.ts'
import { type RunState, recordKey, type TargetState, type TaskState } from './state.ts'

/**
 * Whether a node needs another fault pod, and which: pure, the same for runner and operator. Both may ask at the same
 * moment; as the name follows from run, task, node and attempt, two creators make one pod.
 */

/** One container of a pod, as kubelet reports it. */
export type ContainerStatus = {
  name: string
  restartCount: number
  containerID?: string
  state?: {
    running?: { startedAt?: string }
    waiting?: { reason?: string; message?: string }
    terminated?: { exitCode: number; reason?: string; message?: string }
  }
  lastState?: { terminated?: { exitCode: number; reason?: string } }
}

/** What is read of a fault pod. */
export type FaultPodFacts = {
  metadata: { name: string; deletionTimestamp?: string; labels?: Record<string, string> }
  status?: {
    phase?: string
    reason?: string
    message?: string
    containerStatuses?: ContainerStatus[]
  }
}

/** Whose pods they are: one node of one task of one run. */
export type PodOwner = Pick<NodeOrder, 'run' | 'task' | 'node'>

const maxTaskLetters = 40

/** The name of the n-th pod for one node of one task: the same for whoever asks. */
export function podName(owner: PodOwner, attempt: number): string {
  const text = `${owner.run}/${owner.task}/${owner.node}`
  const hash = createHash('sha256').update(text).digest('hex').slice(0, 10)
  const letters = owner.task.slice(0, maxTaskLetters).replace(/[^a-z0-9-]+/g, '-')
  const task = letters.replace(/^-+|-+$/g, '') || 'task'
  return `${task}-${hash}-${attempt}`
}

/** A pod's name without its attempt: the same for all pods of one node and task. */
export const withoutAttempt = (name: string): string => name.replace(/-\d+$/, '')

/** Reads the attempt in the name of a pod of this owner; 0 when it is another's. */
export function attemptReader(owner: PodOwner): (name: string) => number {
  const prefix = podName(owner, 0).slice(0, -1)
  return (name) => {
    if (!name.startsWith(prefix)) return 0
    const digits = name.slice(prefix.length)
    return /^[1-9]\d*$/.test(digits) ? Number(digits) : 0
  }
}

/** The name under which a pod is on record: a pod that was warm says for which one it stands. */
export const servedName = ({ metadata }: Pick<FaultPodFacts, 'metadata'>): string =>
  metadata.labels?.[faultPodLabels.serves] ?? metadata.name

/** An operator made it for a run whose runner was away: it knows no fault, and injects nothing. */
const onlyPutsBack = ({ metadata }: FaultPodFacts): boolean =>
  metadata.labels?.[faultPodLabels.fault] === ''

/** What can be expected of a pod. */
export type Work =
  /** its program may come to work by itself */
  | { is: 'starting' }
  | { is: 'working' }
  /** its program has ended: kubelet starts it again soon, or has said that it waits first */
  | { is: 'down'; backsOff: boolean }
  /** kubelet cannot start it */
  | { is: 'hindered'; why: string }
  /** it runs nothing any more; `well`: everything is put back, its journal waits to be read */
  | { is: 'over'; well: boolean }

const hopeless = new Set([
  'ErrImageNeverPull',
  'InvalidImageName',
  'ImagePullBackOff',
  'ErrImagePull',
  'CreateContainerConfigError',
  'CreateContainerError',
  'RunContainerError',
])

/** What the program's container says counts; a guard alone reports nothing. */
export function workOf({ status }: FaultPodFacts): Work {
  if (status?.phase === 'Succeeded') return { is: 'over', well: true }
  if (status?.phase === 'Failed') return { is: 'over', well: false }
  const program = status?.containerStatuses?.find((c) => c.name === faultContainer)
  const { state, restartCount = 0 } = program ?? {}
  if (state?.running) return { is: 'working' }
  // the first restart comes at once, all others after ten seconds and more
  if (state?.terminated) return { is: 'down', backsOff: restartCount > 0 }
  const why = startTrouble(status?.containerStatuses ?? [])
  if (why) return { is: 'hindered', why }
  if (state?.waiting?.reason === 'CrashLoopBackOff') return { is: 'down', backsOff: true }
  return { is: 'starting' }
}

/** Why the pod does not start, when kubelet says so; null while it may still start. */
function startTrouble(statuses: readonly ContainerStatus[]): string | null {
  for (const { state } of statuses) {
    const { reason = '', message = '' } = state?.waiting ?? {}
    if (hopeless.has(reason)) return `${reason}: ${message || 'no message'}`
  }
  return null
}

/** Whether the program in it has ever run: if not, it has done nothing. */
export const hasRun = ({ status }: FaultPodFacts): boolean =>
  (status?.containerStatuses ?? []).some(
    ({ name, state, lastState, restartCount }) =>
      name === faultContainer &&
      (state?.running || state?.terminated || lastState?.terminated || restartCount > 0),
  )

/** Its program has ended in order, and its journal is gone. */
export const saidBye = ({ status }: FaultPodFacts): boolean =>
  (status?.containerStatuses ?? []).some(
    ({ name, state }) => name === faultContainer && state?.terminated?.message === lastWord,
  )

/** kubelet starts a container that ended for the first time again at once; so long it is waited for, milliseconds. */
export const restartMs = 1000
/** A pod that cannot start is given this long before another one is tried, milliseconds. */
const hinderedMs = 10_000
/** A pod that was just made shows by then, unless it has gone already, milliseconds. */
const unseenMs = 5000
const quickAttempts = 5
const slowestMs = 60_000

/** Pause before the n-th pod: the first are quick, then ever slower. There is no last one. */
export const pauseBefore = (attempt: number): number =>
  attempt <= quickAttempts ? 0 : Math.min(slowestMs, 1000 * 2 ** (attempt - quickAttempts - 1))

/** What somebody who looks after one node of one task sees. */
export type NodeSight = {
  owner: PodOwner
  /** fault pods that the API shows, of whomever */
  pods: readonly FaultPodFacts[]
  /** the highest attempt that is known to have been made, 0: none */
  made: number
  /** how long ago we made that one ourselves, milliseconds; absent: not we */
  madeAgoMs?: number
  /** how long it has been seen that nobody is at work, milliseconds */
  idleMs: number
  /**
   * `put-back`: a pod that ended well needs no successor; `report`: its journal is to be read; `inject`: something is
   * yet to be injected, too
   */
  until: 'put-back' | 'report' | 'inject'
}

export type NextPod =
  /** this one works, or may come to work */
  | { do: 'keep'; name: string; works: boolean }
  /** nobody is at work; look again after this, or when something changes */
  | { do: 'wait'; inMs: number }
  | { do: 'create'; name: string; attempt: number }
  | { do: 'nothing' }

/** What is to be done for a node on which something may be open. */
export function nextPod({ owner, pods, made, idleMs, until, madeAgoMs }: NodeSight): NextPod {
  const newest = newestOf(owner, pods)
  if (made > (newest?.attempt ?? 0) && madeAgoMs !== undefined && madeAgoMs < unseenMs)
    return { do: 'wait', inMs: unseenMs - madeAgoMs }
  const work = newest ? workOf(newest.pod) : null
  // It leaves the journal to the next one, with all that it has found there.
  const isOfNoUse = until === 'inject' && newest !== null && onlyPutsBack(newest.pod)
  if (newest && !isOfNoUse && (work?.is === 'working' || work?.is === 'starting'))
    return { do: 'keep', name: newest.pod.metadata.name, works: work.is === 'working' }
  if (work?.is === 'over' && work.well && until === 'put-back') return { do: 'nothing' }
  const attempt = Math.max(made, newest?.attempt ?? 0) + 1
  const inMs = Math.max(patienceWith(work), pauseBefore(attempt)) - idleMs
  return inMs > 0 ? { do: 'wait', inMs } : { do: 'create', name: podName(owner, attempt), attempt }
}

function patienceWith(work: Work | null): number {
  if (work?.is === 'hindered') return hinderedMs
  return work?.is === 'down' && !work.backsOff ? restartMs : 0
}

/** The pod of the highest attempt. */
export function newestOf<P extends FaultPodFacts>(
  owner: PodOwner,
  pods: readonly P[],
): { pod: P; attempt: number } | null {
  const attemptOf = attemptReader(owner)
  const own = pods
    .map((pod) => ({ pod, attempt: attemptOf(servedName(pod)) }))
    .filter(({ attempt }) => attempt > 0)
  return own.reduce<(typeof own)[number] | null>(
    (best, one) => (best && best.attempt > one.attempt ? best : one),
    null,
  )
}

/** Something may have been done to this target on its node, and it is not proven to be undone. */
export const mayBeOpen = (
  { state, wave }: TargetState,
  task: Pick<TaskState, 'wave' | 'chaosAt'>,
): boolean =>
  state === 'injected' ||
  state === 'lost' ||
  state === 'owed' ||
  (state === 'targeted' && task.chaosAt !== undefined && wave <= task.wave)

/** A node on which something of a run may be open. */
export type OpenNode = {
  owner: PodOwner
  targets: TargetState[]
  /** the highest attempt on record */
  made: number
  /** the last event of this node that is stored */
  after: number
}

/** The nodes of a run that may need a recovery pod. A task that never had a fault pod did nothing on a node. */
export function openNodes({ runId, tasks }: RunState): OpenNode[] {
  return tasks
    .filter(({ pods, closed }) => pods.length > 0 && !closed)
    .flatMap((task) => {
      const open = task.targets.filter((t) => t.node !== undefined && mayBeOpen(t, task))
      return [...Map.groupBy(open, (t) => t.node ?? '')].map(([node, targets]) => {
        const owner = { run: runId, task: task.name, node }
        const made = Math.max(0, ...task.pods.map(attemptReader(owner)))
        return { owner, targets, made, after: task.acknowledged[node] ?? 0 }
      })
    })
}

/** What is known of a run, apart from its state. */
export type RunPlace = Pick<NodeOrder, 'cluster' | 'resource'>

/** How long a recovery pod keeps its report for a runner, milliseconds. */
const keepReportMs = 600_000

/** The order of a recovery pod: put back what the journal on the node holds, report it, inject nothing. */
export const recoveryOrder = (
  { owner, targets, after }: OpenNode,
  place: RunPlace,
  attempt: number,
): NodeOrder => ({
  protocol: 1,
  ...place,
  ...owner,
  fault: '',
  params: {},
  targets: targets.map(nodeTarget),
  holdMs: 0,
  start: 'sweep',
  attempt,
  after,
  armedForMs: keepReportMs,
})

/** What a fault pod must know of a target. */
export const nodeTarget = (target: TargetState): NodeOrder['targets'][number] => ({
  id: recordKey(target),
  namespace: target.namespace,
  pod: target.name,
  podUid: target.uid,
  container: target.container ?? '',
  containerId: target.containerId ?? '',
  ...(target.state === 'targeted' ? {} : { touched: true as const }),
})
