import { halt } from '../../lib/crash.ts'
import type { KubeClient } from '../../lib/kube/client.ts'
import { isAlreadyExists, isForbidden, isRefusal } from '../../lib/kube/errors.ts'
import type { EventRecorder } from '../../lib/kube/events.ts'
import { pods, resourcePath } from '../../lib/kube/paths.ts'
import type { Cache } from '../../lib/kube/store.ts'
import type { Pass } from '../../lib/kube/workers.ts'
import type { Log } from '../../lib/log.ts'
import { faultCapabilities } from '../../model/fault-capabilities.generated.ts'
import { recoveryOrder } from '../../model/fault-pod-recovery.ts'
import { faultPod } from '../../model/fault-pod-spec.ts'
import type { Plan } from '../../model/plan.ts'
import { podRefusalAdvice } from '../../model/pod-refusal.ts'
import { claimAnnotation } from '../../model/runner-life.ts'
import { short } from '../../model/snapshot.ts'
import type { Experiment, RunnerLife } from '../experiment/observe.ts'
import { clusterOf } from './cluster.ts'
import {
  decide,
  type NodeMemory,
  nodeKey,
  type RecoveryPod,
  refusedAgain,
  type ToMake,
} from './decide.ts'

/** What recovery pods are made from; the same image as the operator's own. */
export type RecoveryImage = {
  image: string
  imagePullPolicy: 'Always' | 'IfNotPresent' | 'Never'
  imagePullSecrets: readonly string[]
  priorityClassName: string | null
}

/** What recovering needs. */
export type RecoveryParts = {
  client: KubeClient
  dialect: Plan['dialect']
  /** of the product: fault pods live here */
  namespace: string
  experiments: Cache<Experiment>
  podsOf(uid: string): RecoveryPod[]
  lifeOf(holder: string): RunnerLife
  recorder: EventRecorder
  log: Log
  monotonic(): number
  image: RecoveryImage
  /** told of each pod that was made */
  onMade(name: string): void
}

/** A pass over one experiment; what it remembers holds for one term of leading. */
export type RecoveryPass = {
  pass(key: string, signal: AbortSignal): Promise<Pass>
  reset(): void
}

/** Sees to it that every node on which something of a run may be open has a program that puts it back. */
export function createRecoveryPass(parts: RecoveryParts): RecoveryPass {
  const memories = new Map<string, Map<string, NodeMemory>>()
  const pass = async (key: string, signal: AbortSignal): Promise<Pass> => {
    const object = parts.experiments.get(key)
    if (!object) {
      memories.delete(key)
      return { next: 'idle' }
    }
    const known = memories.get(key) ?? new Map<string, NodeMemory>()
    const holder = object.metadata.annotations?.[claimAnnotation] ?? ''
    const { make, againMs } = decide(
      {
        object,
        pods: parts.podsOf(object.metadata.uid),
        runner: parts.lifeOf(holder),
        now: parts.monotonic(),
      },
      known,
    )
    if (known.size > 0) memories.set(key, known)
    else memories.delete(key)
    let inMs = againMs
    for (const one of make) {
      const memory = known.get(nodeKey(one.open)) ?? {}
      CRASH: await halt('operator/pod-wanted', object.metadata.name)
      const refusal = await create(parts, object, { ...one, signal })
      const now = parts.monotonic()
      if (refusal) {
        // The other nodes are not made to wait for this one.
        memory.refused = refusedAgain(memory, now)
        const waitMs = memory.refused.until - now
        tellRefusal(parts, object, { ...one, refusal, waitMs })
        inMs = Math.min(inMs ?? waitMs, waitMs)
      } else {
        memory.made = { attempt: one.attempt, at: now }
        delete memory.refused
      }
    }
    if (inMs === undefined) return { next: 'idle' }
    return { next: 'again', inMs, reason: 'something is open on a node' }
  }
  return { pass, reset: () => memories.clear() }
}

/** Makes the pod; gives the error with which the API server refused it. */
async function create(
  parts: RecoveryParts,
  object: Experiment,
  { open, attempt, name, reserve, signal }: ToMake & { signal: AbortSignal },
): Promise<Error | undefined> {
  const { client, namespace, recorder, log } = parts
  const { name: experiment, namespace: of = '', uid } = object.metadata
  const cluster = await clusterOf(client, signal)
  const resource = { kind: parts.dialect, namespace: of, name: experiment, uid }
  const pod = faultPod({
    ...parts.image,
    name,
    namespace,
    order: recoveryOrder(open, { cluster, resource }, attempt),
    capabilities: capabilitiesFor(object, open.owner.task),
    settings: {},
    reserve,
    owner: null,
  })
  CRASH: await halt('operator/pod-making', experiment)
  try {
    await client.create(resourcePath({ ...pods, namespace }), pod, { signal })
  } catch (error) {
    // its runner was quicker: it is the same pod
    if (isAlreadyExists(error)) return undefined
    if (!isRefusal(error)) throw error
    CRASH: await halt('operator/pod-refused', experiment)
    return error as Error
  }
  CRASH: await halt('operator/pod-made', experiment)
  parts.onMade(name)
  const targets = open.targets.map(({ id }) => id).join(', ')
  const note = `No fault program is at work on node ${open.owner.node}: pod ${namespace}/${name} puts back what may be open there (${targets}).`
  log.warn({ experiment, namespace: of, pod: name, node: open.owner.node }, 'a recovery pod')
  recorder.record({
    regarding: object,
    type: 'Warning',
    reason: 'RecoveryPodCreated',
    note: note.slice(0, 1000),
    id: `${uid}/${name}`,
  })
  CRASH: await halt('operator/pod-told', experiment)
  return undefined
}

type Refused = ToMake & { refusal: Error; waitMs: number }

/** A quota, Pod Security or a right that is missing: said, and tried again. */
function tellRefusal(
  { namespace, recorder, log }: RecoveryParts,
  object: Experiment,
  { open, name, refusal, waitMs }: Refused,
): void {
  const { name: experiment, namespace: of = '' } = object.metadata
  log.warn(
    { err: refusal, experiment, namespace: of, pod: name, node: open.owner.node, waitMs },
    'a recovery pod was refused, and is tried again',
  )
  const said = refusal.message
  const advice = podRefusalAdvice({
    ...{ said, namespace, by: 'operator' },
    forbidden: isForbidden(refusal),
  })
  const what = `What may be open on node ${open.owner.node} is not put back yet: the API server does not take pod ${namespace}/${name}, which is tried again.`
  // What is to be done is told in any case.
  const room = 1000 - what.length - advice.length - 3
  recorder.record({
    regarding: object,
    type: 'Warning',
    reason: 'RecoveryPodRefused',
    note: `${what} ${advice} ${short(said, Math.max(room, 100))}`,
  })
}

/** What the fault's own pod had; an older or newer fault that is not known here gets what all of them have together. */
function capabilitiesFor({ status }: Experiment, name: string): readonly string[] {
  const fault = status?.run?.tasks.find((task) => task.name === name)?.fault ?? ''
  const all = Object.values(faultCapabilities).flat()
  return faultCapabilities[fault] ?? [...new Set(all)].sort()
}
