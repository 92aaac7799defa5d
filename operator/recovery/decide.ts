import { backoffMs } from '../../lib/backoff.ts'
import type { KubeObject } from '../../lib/kube/types.ts'
import {
  type FaultPodFacts,
  newestOf,
  nextPod,
  type OpenNode,
  openNodes,
} from '../../model/fault-pod-recovery.ts'
import { nodeIsFull } from '../../model/pod-life.ts'
import { whyUnreadable } from '../../model/read-run.ts'
import { runFinalizer } from '../../model/runner-life.ts'
import type { RunState } from '../../model/state.ts'
import type { Experiment, RunnerLife } from '../experiment/observe.ts'

/** A fault pod as the recovery needs it. */
export type RecoveryPod = KubeObject & FaultPodFacts

/** A runner that lives is given so long to act before we do, milliseconds. */
export const runnerPatienceMs = 1500
/** Nodes on which something is open are looked at this often, milliseconds: the passing of time is no event. */
const lookMs = 1000

/** What this leader remembers of one node of one task. Times are of a clock that never jumps, milliseconds. */
export type NodeMemory = {
  /** since when it has been seen that no program is at work there */
  idleSince?: number
  /** the recovery pod that we made last; `at` until it shows */
  made?: { attempt: number; at?: number }
  /** the API server did not take what we made, so often; not before `until` again */
  refused?: Refused
}
type Refused = { times: number; until: number }

/** All that one decision needs. */
export type Seen = {
  object: Experiment
  /** fault pods of this experiment */
  pods: readonly RecoveryPod[]
  runner: RunnerLife
  now: number
}

/** A recovery pod that is to be made. */
export type ToMake = { open: OpenNode; attempt: number; name: string; reserve: boolean }

/** `againMs`: look again after this even when nothing changes; absent: nothing is open on any node. */
export type Decision = { make: ToMake[]; againMs?: number }

/** One that cannot be read is for a human. */
const readableRun = ({ status }: Experiment): RunState | undefined =>
  whyUnreadable(status?.run) === null ? status?.run : undefined

/** Ever later again, but never so late that nobody would wait for it. */
const refusals = { baseMs: 500, maxMs: 30_000, jitter: 0 }

/** It was refused once more. */
export const refusedAgain = ({ refused }: NodeMemory, now: number): Refused => {
  const { times = 0 } = refused ?? {}
  return { times: times + 1, until: now + backoffMs(refusals, times, () => 0) }
}

export const nodeKey = ({ owner }: OpenNode): string => `${owner.run}/${owner.task}/${owner.node}`

/** Which nodes need a recovery pod from us now. Notes in `memories` what it saw; pure but for that. */
export function decide(seen: Seen, memories: Map<string, NodeMemory>): Decision {
  const { object } = seen
  const run = readableRun(object)
  const held = object.metadata.finalizers?.includes(runFinalizer)
  const open = run && held ? openNodes(run) : []
  const keys = new Set(open.map(nodeKey))
  for (const key of memories.keys()) if (!keys.has(key)) memories.delete(key)
  const decision: Decision = { make: [] }
  for (const node of open) {
    const memory = memories.get(nodeKey(node)) ?? {}
    memories.set(nodeKey(node), memory)
    const { make, inMs } = decideNode(seen, node, memory)
    if (make) decision.make.push(make)
    decision.againMs = Math.min(decision.againMs ?? lookMs, inMs)
  }
  return decision
}

type NodeDecision = { make?: ToMake; inMs: number }

function decideNode(seen: Seen, open: OpenNode, memory: NodeMemory): NodeDecision {
  const { pods, now, runner } = seen
  const { owner } = open
  const { made } = memory
  const newest = newestOf(owner, pods)
  if (made && newest && newest.attempt >= made.attempt) delete made.at
  const sight = {
    owner,
    pods,
    made: Math.max(open.made, made?.attempt ?? 0),
    ...(made?.at !== undefined && made.attempt >= open.made ? { madeAgoMs: now - made.at } : {}),
    until: 'put-back' as const,
  }
  const patience = runner.alive ? runnerPatienceMs : 0
  const idleMs = memory.idleSince === undefined ? 0 : now - memory.idleSince
  const next = nextPod({ ...sight, idleMs: Math.max(0, idleMs - patience) })
  if (next.do === 'keep' || next.do === 'nothing') {
    delete memory.idleSince
    delete memory.refused
    return { inMs: lookMs }
  }
  memory.idleSince ??= now
  if (next.do === 'wait') return { inMs: Math.max(1, next.inMs) }
  if (idleMs < patience) return { inMs: patience - idleMs }
  const { until = now } = memory.refused ?? {}
  if (now < until) return { inMs: until - now }
  const full = newest !== null && nodeIsFull(newest.pod)
  const { attempt, name } = next
  return { make: { open, attempt, name, reserve: !full }, inMs: lookMs }
}
