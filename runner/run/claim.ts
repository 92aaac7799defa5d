import type { KubeClient } from '../../lib/kube/client.ts'
import { isConflict, isNotFound } from '../../lib/kube/errors.ts'
import type { KubeObject } from '../../lib/kube/types.ts'
import type { Resource } from './resource.ts'

export const finalizer = 'chaos.chaosplane.io/run'
export const claimAnnotation = 'chaos.chaosplane.io/claimed-by'
export const abortAnnotation = 'chaos.chaosplane.io/abort'
/** All spellings that users of either family know. */
export const abortAnnotations = [abortAnnotation, 'chaosplane.dev/abort', 'litmuschaos.io/abort']

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
        ...(finalizers.includes(finalizer) ? {} : { finalizers: [...finalizers, finalizer] }),
      },
    },
    { signal },
  )
}

/** Lets the resource go: finalizer, claim and used abort annotations in one write. Gone already is fine. */
export async function letGo(
  kube: KubeClient,
  resource: Resource,
  signal: AbortSignal,
): Promise<void> {
  for (;;) {
    const object = await kube.find<KubeObject>(resource.path, { signal })
    if (!object || object.metadata.uid !== resource.uid) return
    const { finalizers = [], annotations = {}, resourceVersion } = object.metadata
    const used = [claimAnnotation, ...abortAnnotations].filter((a) => annotations[a] !== undefined)
    if (!finalizers.includes(finalizer) && used.length === 0) return
    try {
      await kube.mergePatch(
        resource.path,
        {
          metadata: {
            resourceVersion,
            finalizers: finalizers.filter((f) => f !== finalizer),
            annotations: Object.fromEntries(used.map((a) => [a, null])),
          },
        },
        { signal },
      )
      return
    } catch (error) {
      if (isNotFound(error)) return
      if (!isConflict(error)) throw error
    }
  }
}

/** Who asks for an early end, or null. */
export function abortOf(
  object: KubeObject,
  spec: Record<string, unknown> | undefined,
): string | null {
  if (object.metadata.deletionTimestamp) return 'deletion of the resource'
  const said = abortAnnotations.find((a) =>
    ['true', 'yes', '1'].includes((object.metadata.annotations?.[a] ?? '').toLowerCase()),
  )
  if (said) return `annotation ${said}`
  if (spec?.['engineState'] === 'stop') return 'spec.engineState stop'
  return null
}
