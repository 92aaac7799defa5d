import { createHash } from 'node:crypto'
import type { KubeClient } from '../../lib/kube/client.ts'
import { isAlreadyExists } from '../../lib/kube/errors.ts'
import { leases, resourcePath } from '../../lib/kube/paths.ts'
import { removeExactly } from '../../lib/kube/remove.ts'
import type { KubeObject } from '../../lib/kube/types.ts'
import { ChaosError } from '../../model/errors.ts'
import { slotLabels, slotSelector } from '../../model/slots.ts'
import { isEnded, type RunState, recordKey, runStateSchema } from '../../model/state.ts'
import type { Resource } from '../run/resource.ts'

/** What one experiment holds alone: `what` of the object with this uid. */
export type Slot = { uid: string; what: string }

/** Who holds it: one target of one task of one run. */
export type Holder = {
  resource: Pick<Resource, 'path' | 'kind' | 'namespace' | 'name' | 'uid'>
  runId: string
  task: string
  target: string
}

type Where = { kube: KubeClient; namespace: string; signal: AbortSignal }
type SlotLease = KubeObject & { spec?: { holderIdentity?: string } }

const holderAnnotation = 'chaos.chaosplane.io/holder'
const nameOf = ({ uid, what }: Slot): string =>
  `chaosplane-slot-${createHash('sha256').update(`${uid}\n${what}`).digest('hex').slice(0, 32)}`

const textOf = ({ resource, runId, task, target }: Holder): string => {
  const { path, kind, namespace, name, uid } = resource
  return JSON.stringify([path, kind, namespace, name, uid, runId, task, target])
}

function holderOf({ metadata }: SlotLease): Holder | null {
  try {
    const parts: string[] = JSON.parse(metadata.annotations?.[holderAnnotation] ?? '')
    const [path, kind, namespace, name, uid, runId = '', task = '', target = ''] = parts
    if (!path || !namespace || !name || !uid) return null
    return {
      resource: { path, kind: kind as Resource['kind'], namespace, name, uid },
      runId,
      task,
      target,
    }
  } catch {
    return null
  }
}

/**
 * Whether the run that holds a slot since `takenAt` (unix milliseconds) is past the target for which it took it, or was
 * never stored: its runner died at once, and the resource has begun another one.
 */
export function isStale(
  holder: Holder,
  object: KubeObject | undefined,
  takenAt: number | undefined,
): boolean {
  if (object?.metadata.uid !== holder.resource.uid) return true
  const parsed = runStateSchema.safeParse((object as { status?: { run?: unknown } }).status?.run)
  // A run that has not written anything yet, or whose state cannot be read, may hold it.
  if (!parsed.success) return false
  const run: RunState = parsed.data
  if (run.previousRunIds.includes(holder.runId)) return true
  if (run.runId !== holder.runId) return takenAt !== undefined && run.startedAt > takenAt
  const target = run.tasks
    .find((t) => t.name === holder.task)
    ?.targets.findLast((t) => recordKey(t) === holder.target)
  return run.finishedAt !== undefined || (target !== undefined && isEnded(target))
}

/**
 * Takes a slot, or keeps the one that this target has already. The API server lets one of several win, whichever
 * runner they run in. Throws ChaosError that names who holds it.
 */
export async function takeSlot(slot: Slot, holder: Holder, where: Where): Promise<void> {
  const { kube, namespace, signal } = where
  const name = nameOf(slot)
  const path = resourcePath({ ...leases, namespace, name })
  for (;;) {
    try {
      await kube.create(resourcePath({ ...leases, namespace }), leaseOf(name, slot, holder), {
        signal,
      })
      return
    } catch (error) {
      if (!isAlreadyExists(error)) throw error
    }
    const there = await kube.find<SlotLease>(path, { signal })
    if (!there) continue
    const other = holderOf(there)
    if (other && textOf(other) === textOf(holder)) return
    if (other && !(await isOver(other, there, holder, where))) throw heldBy(slot, holder, other)
    await removeLease(there, where)
  }
}

async function isOver(
  other: Holder,
  { metadata }: SlotLease,
  asking: Holder,
  { kube, signal }: Where,
): Promise<boolean> {
  // A resource has one run at a time: the one that it had before this was never stored, and so has done nothing.
  if (other.resource.uid === asking.resource.uid && other.runId !== asking.runId) return true
  const object = await kube.find<KubeObject>(other.resource.path, { signal })
  const taken = Date.parse(metadata.creationTimestamp ?? '')
  return isStale(other, object, Number.isNaN(taken) ? undefined : taken)
}

/** Gives a slot back; one that somebody else has by now stays theirs. */
export async function freeSlot(slot: Slot, holder: Holder, where: Where): Promise<void> {
  const path = resourcePath({ ...leases, namespace: where.namespace, name: nameOf(slot) })
  const there = await where.kube.find<SlotLease>(path, { signal: where.signal })
  const other = there && holderOf(there)
  if (there && other && textOf(other) === textOf(holder)) await removeLease(there, where)
}

/** Gives back all that is left of one run: a runner may have died before it did so. */
export async function freeAllSlots(
  { uid, runId }: { uid: string; runId: string },
  where: Where,
): Promise<void> {
  const path = resourcePath({ ...leases, namespace: where.namespace })
  const query = { labelSelector: slotSelector(uid) }
  const { items } = await where.kube.list<SlotLease>(path, { signal: where.signal, query })
  const own = items.filter((lease) => holderOf(lease)?.runId === runId)
  await Promise.all(own.map((lease) => removeLease(lease, where)))
}

async function removeLease({ metadata }: SlotLease, where: Where): Promise<void> {
  const { name, uid, resourceVersion } = metadata
  const path = resourcePath({ ...leases, namespace: where.namespace, name })
  await removeExactly(where.kube, path, { uid, resourceVersion, signal: where.signal })
}

const leaseOf = (name: string, slot: Slot, holder: Holder): object => ({
  apiVersion: 'coordination.k8s.io/v1',
  kind: 'Lease',
  metadata: {
    name,
    labels: slotLabels(holder.resource.uid),
    annotations: { [holderAnnotation]: textOf(holder), 'chaos.chaosplane.io/what': slot.what },
  },
  spec: { holderIdentity: `${holder.resource.namespace}/${holder.resource.name}` },
})

function heldBy({ what }: Slot, holder: Holder, { resource, task }: Holder): ChaosError {
  const { kind, namespace, name } = resource
  return new ChaosError({
    code: 'CHAOS_INJECT_ERROR',
    target: holder.target,
    reason: `${what} of ${holder.target} is held by task ${task} of ${kind} ${namespace}/${name}, and two experiments would not put it back as it was; wait until that one has ended, or choose another target`,
  })
}
