import type { Clock } from '../../lib/clock.ts'
import type { KubeClient } from '../../lib/kube/client.ts'
import { isNotFound } from '../../lib/kube/errors.ts'
import {
  chaosExperiments,
  configMaps,
  kubernetesChaosExperiments,
  resourcePath,
} from '../../lib/kube/paths.ts'
import { haltAnnotation, haltConfigMap } from '../../model/halt.ts'
import type { HaltOptions } from './arguments.ts'
import { type Experiment, heldText, isHeld } from './held.ts'

export type HaltParts = { client: KubeClient; clock: Clock; say(line: string): void }

/** Pause between two looks, milliseconds. */
const lookMs = 500

/** Pulls the kill switch and waits until nothing is held, or lifts it. Returns what is still held, a text for each experiment. */
export async function halt(
  { namespace, reason, timeoutMs }: Omit<HaltOptions, 'place'>,
  { client, clock, say }: HaltParts,
  signal: AbortSignal,
): Promise<string[]> {
  await turn(client, { namespace, reason }, signal)
  if (reason === null) {
    say('Lifted: new experiments run again; those that were refused stay refused.')
    return []
  }
  say('Halted: everything that runs is aborted, nothing new is begun.')
  const until = clock.now() + timeoutMs
  for (let told = ''; ; ) {
    const held = await stillHeld(client, signal)
    if (held.length === 0) {
      say('Nothing is held any more. Lift it with --lift.')
      return []
    }
    const count = `${held.length} experiment${held.length === 1 ? ' is' : 's are'} still held`
    if (count !== told) say(count)
    told = count
    if (clock.now() >= until) return held
    await clock.sleep(lookMs, signal)
  }
}

async function turn(
  client: KubeClient,
  { namespace, reason }: Pick<HaltOptions, 'namespace' | 'reason'>,
  signal: AbortSignal,
): Promise<void> {
  const path = resourcePath({ ...configMaps, namespace, name: haltConfigMap })
  try {
    await client.mergePatch(
      path,
      { metadata: { annotations: { [haltAnnotation]: reason } } },
      { signal },
    )
  } catch (error) {
    if (!isNotFound(error)) throw error
    throw new Error(
      `there is no ConfigMap ${haltConfigMap} in namespace ${namespace}: name the namespace of the release with --namespace`,
      { cause: error },
    )
  }
}

const kinds = {
  ChaosExperiment: chaosExperiments,
  KubernetesChaosExperiment: kubernetesChaosExperiments,
}

async function stillHeld(client: KubeClient, signal: AbortSignal): Promise<string[]> {
  const lists = await Promise.all(
    Object.entries(kinds).map(async ([kind, of]) => {
      const { items } = await client.list<Experiment>(resourcePath(of), { signal })
      return items.filter(isHeld).map((object) => heldText(kind, object))
    }),
  )
  return lists.flat()
}
