import type { KubeClient } from '../../lib/kube/client.ts'
import { type ResourceKind, resourcePath } from '../../lib/kube/paths.ts'
import { abandonAnnotation } from '../../model/abandon.ts'
import { claimAnnotation, runFinalizer } from '../../model/runner-life.ts'
import type { Experiment } from '../experiment/observe.ts'

/** What claiming and letting go need. */
export type LetGoParts = {
  client: KubeClient
  kind: ResourceKind
  /** who claims the run for its end: pod of this operator */
  self: string
}

/** In the place of a runner's life: nobody's Lease has it, so that a runner may still take over. */
const claimSuffix = '/abandon'

/** Whether an operator has claimed it for its end. */
export const isClaimedForEnd = ({ metadata }: Experiment): boolean =>
  metadata.annotations?.[claimAnnotation]?.endsWith(claimSuffix) ?? false

export const pathOf = (
  { kind }: Pick<LetGoParts, 'kind'>,
  { metadata }: Experiment,
  subresource?: string,
): string => {
  const { name, namespace = '' } = metadata
  return resourcePath({ ...kind, namespace, name, ...(subresource ? { subresource } : {}) })
}

/** From now on a runner that comes back is fenced off; refused when anybody has written since. */
export async function claimForEnd(
  parts: LetGoParts,
  object: Experiment,
  signal: AbortSignal,
): Promise<Experiment> {
  const { resourceVersion } = object.metadata
  const annotations = { [claimAnnotation]: `${parts.self}${claimSuffix}` }
  const metadata = { resourceVersion, annotations }
  return await parts.client.mergePatch<Experiment>(pathOf(parts, object), { metadata }, { signal })
}

/** Takes off what holds the resource; refused when anybody has written since. */
export async function letGo(
  parts: Pick<LetGoParts, 'client' | 'kind'>,
  object: Experiment,
  signal: AbortSignal,
): Promise<void> {
  const { resourceVersion, finalizers = [] } = object.metadata
  const metadata = {
    resourceVersion,
    finalizers: finalizers.filter((one) => one !== runFinalizer),
    annotations: { [claimAnnotation]: null, [abandonAnnotation]: null },
  }
  await parts.client.mergePatch(pathOf(parts, object), { metadata }, { signal })
}

/** Lets go of what owes nothing and has no runner. */
export async function release(
  parts: LetGoParts,
  object: Experiment,
  signal: AbortSignal,
): Promise<void> {
  await letGo(parts, await claimForEnd(parts, object, signal), signal)
}
