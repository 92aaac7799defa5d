import type { JsonPatchOp, KubeClient } from '../../lib/kube/client.ts'
import { isConflict, isNotFound, KubeError } from '../../lib/kube/errors.ts'
import type { KubeObject } from '../../lib/kube/types.ts'
import { abandonAnnotation } from '../../model/abandon.ts'
import { claimAnnotation, runFinalizer } from '../../model/runner-life.ts'
import type { Resource } from './resource.ts'

export const abortAnnotation = 'chaos.chaosplane.io/abort'
/** All spellings that users of either family know. */
export const abortAnnotations = [abortAnnotation, 'chaosplane.dev/abort', 'litmuschaos.io/abort']

export const pauseAnnotation = 'chaos.chaosplane.io/pause'
export const pauseAnnotations = [
  pauseAnnotation,
  'chaosplane.dev/pause',
  'chaosplane.io/paused',
  'litmuschaos.io/pause',
]

/** One life of one runner pod. */
export type Identity = { pod: string; instance: string }

export const sameIdentity = (a: Identity, b: Identity): boolean =>
  a.pod === b.pod && a.instance === b.instance

/** Who holds the run, as the resource says. */
export function claimOf(object: KubeObject): Identity | null {
  const [pod, instance] = (object.metadata.annotations?.[claimAnnotation] ?? '').split('/')
  return pod && instance ? { pod, instance } : null
}

/**
 * Takes the run: finalizer and claim in one write, refused by the API server when anything has changed since
 * `object` was read. Throws a conflict then.
 */
export function claim(
  kube: KubeClient,
  { resource, object, me }: { resource: Resource; object: KubeObject; me: Identity },
  signal: AbortSignal,
): Promise<KubeObject> {
  const finalizers = object.metadata.finalizers ?? []
  return kube.mergePatch<KubeObject>(
    resource.path,
    {
      metadata: {
        resourceVersion: object.metadata.resourceVersion,
        annotations: { [claimAnnotation]: `${me.pod}/${me.instance}` },
        // A finalizer cannot be added to what is being deleted; an adopted run has it already.
        ...(finalizers.includes(runFinalizer) ? {} : { finalizers: [...finalizers, runFinalizer] }),
      },
    },
    { signal },
  )
}

/** What a look at the resource says about our hold on the run. */
export type Hold =
  /** it is older than our claim, or that is not known yet: it says nothing */
  | { is: 'unknown' }
  | { is: 'ours' }
  /** we have let it go */
  | { is: 'over' }
  | { is: 'lost'; why: string }
type Holding = { me: Identity; claimed: KubeObject | null; letting: boolean }

/**
 * `claimed` is the answer to our claim, `letting` that we are taking it off. A resource that nobody holds is not ours
 * either: another runner may have carried the run to its end and let it go, unseen by us.
 */
export function holdOf(object: KubeObject, { me, claimed, letting }: Holding): Hold {
  if (!claimed || versionOf(object) <= versionOf(claimed)) return { is: 'unknown' }
  const holder = claimOf(object)
  if (holder && sameIdentity(holder, me)) return { is: 'ours' }
  if (!holder && letting) return { is: 'over' }
  return { is: 'lost', why: `${holder ? `runner ${holder.pod}` : 'nobody'} holds the run now` }
}

/** Versions of one resource can be compared as numbers: Kubernetes promises it since 1.35, and etcd always did so. */
const versionOf = ({ metadata }: KubeObject): number => Number(metadata.resourceVersion)

const maxRefusals = 5
/** `me`: what another holds by now stays theirs */
type Letting = { resource: Resource; seen: KubeObject | null; me?: Identity }

/**
 * Lets the resource go: runFinalizer, claim and used annotations of abort and pause in one write. Gone already is fine.
 * First by what was `seen` last, tested by the API server; when that has changed, by a fresh look.
 */
export async function letGo(
  kube: KubeClient,
  letting: Letting,
  signal: AbortSignal,
): Promise<void> {
  const { resource, seen } = letting
  let refused = 0
  for (let known = seen; ; known = null) {
    const object = known ?? (await stillOurs(kube, letting, signal))
    if (!object) return
    const ops = releaseOf(object)
    // What was seen may be older than our own claim: only a fresh look says that there is nothing to release.
    if (ops.length === 0 && known) continue
    if (ops.length === 0) return
    try {
      await kube.jsonPatch(resource.path, ops, { signal })
      return
    } catch (error) {
      if (isNotFound(error)) return
      // Refused again and again it is not somebody else's write that stands in the way.
      if ((!isConflict(error) && !isInvalid(error)) || ++refused >= maxRefusals) throw error
    }
  }
}

/** The resource as it is now; null when it is gone, or another runner's. */
async function stillOurs(
  kube: KubeClient,
  { resource, me }: Letting,
  signal: AbortSignal,
): Promise<KubeObject | null> {
  const object = await kube.find<KubeObject>(resource.path, { signal })
  if (!object || object.metadata.uid !== resource.uid) return null
  const holder = claimOf(object)
  return me && holder && !sameIdentity(holder, me) ? null : object
}

/** A failed `test` of a JSON patch is answered with 422. */
const isInvalid = (error: unknown): boolean => error instanceof KubeError && error.status === 422

const pointer = (name: string): string => name.replaceAll('~', '~0').replaceAll('/', '~1')

function releaseOf({ metadata }: KubeObject): JsonPatchOp[] {
  const ops: JsonPatchOp[] = []
  const at = metadata.finalizers?.indexOf(runFinalizer) ?? -1
  const names = [claimAnnotation, ...abortAnnotations, ...pauseAnnotations, abandonAnnotation]
  for (const name of names) {
    const value = metadata.annotations?.[name]
    const path = `/metadata/annotations/${pointer(name)}`
    if (value !== undefined) ops.push({ op: 'test', path, value }, { op: 'remove', path })
  }
  // Last: when this goes, the object may be gone.
  if (at >= 0) {
    const path = `/metadata/finalizers/${at}`
    ops.push({ op: 'test', path, value: runFinalizer }, { op: 'remove', path })
  }
  return ops
}

/** Who asks for an early end, or null. */
export function abortOf(
  object: KubeObject,
  spec: Record<string, unknown> | undefined,
): string | null {
  if (object.metadata.deletionTimestamp) return 'deletion of the resource'
  const said = saidIn(object, abortAnnotations)
  if (said) return said
  if (spec?.['engineState'] === 'stop') return 'spec.engineState stop'
  return null
}

/** Who asks the run to stand still, or null. */
export const pauseIn = (object: KubeObject): string | null => saidIn(object, pauseAnnotations)

function saidIn({ metadata }: KubeObject, annotations: string[]): string | null {
  const said = annotations.find((a) =>
    ['true', 'yes', '1'].includes((metadata.annotations?.[a] ?? '').toLowerCase()),
  )
  return said ? `annotation ${said}` : null
}
