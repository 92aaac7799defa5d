import { halt } from '../../lib/crash.ts'
import type { KubeClient } from '../../lib/kube/client.ts'
import { type ResourceKind, resourcePath } from '../../lib/kube/paths.ts'
import { abandonAnnotation } from '../../model/abandon.ts'
import { claimAnnotation, runFinalizer } from '../../model/runner-life.ts'
import type { Experiment } from '../experiment/observe.ts'
import { freeSlots } from './slots.ts'

/** What claiming and letting go need. */
export type LetGoParts = {
  client: KubeClient
  kind: ResourceKind
  /** of the product: what runners hold alone is written there */
  namespace: string
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
  const { name, resourceVersion } = object.metadata
  const annotations = { [claimAnnotation]: `${parts.self}${claimSuffix}` }
  const metadata = { resourceVersion, annotations }
  const path = pathOf(parts, object)
  CRASH: await halt('operator/claiming', name)
  const claimed = await parts.client.mergePatch<Experiment>(path, { metadata }, { signal })
  CRASH: await halt('operator/claimed', name)
  return claimed
}

/**
 * Takes off what holds the resource; refused when anybody has written since. What its targets held alone is given back
 * first: nobody would look for it later.
 */
export async function letGo(
  parts: LetGoParts,
  object: Experiment,
  signal: AbortSignal,
): Promise<void> {
  const { name, uid, resourceVersion, finalizers = [] } = object.metadata
  await freeSlots(uid, { ...parts, signal })
  const metadata = {
    resourceVersion,
    finalizers: finalizers.filter((one) => one !== runFinalizer),
    annotations: { [claimAnnotation]: null, [abandonAnnotation]: null },
  }
  CRASH: await halt('operator/letting-go', name)
  await parts.client.mergePatch(pathOf(parts, object), { metadata }, { signal })
  CRASH: await halt('operator/let-go', name)
}

/** Lets go of what owes nothing and has no runner. */
export async function release(
  parts: LetGoParts,
  object: Experiment,
  signal: AbortSignal,
): Promise<void> {
  await letGo(parts, await claimForEnd(parts, object, signal), signal)
}
