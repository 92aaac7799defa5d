import type { Clock } from '../lib/clock.ts'
import type { KubeClient } from '../lib/kube/client.ts'
import { isConflict, isNotFound } from '../lib/kube/errors.ts'
import {
  chaosExperiments,
  configMaps,
  kubernetesChaosExperiments,
  leases,
  type ResourceKind,
  resourcePath,
} from '../lib/kube/paths.ts'
import { createReflector } from '../lib/kube/reflector.ts'
import type { KubeObject } from '../lib/kube/types.ts'
import type { Log } from '../lib/log.ts'
import { haltAnnotation, haltConfigMap, haltReason } from '../model/halt.ts'
import { claimAnnotation, runFinalizer, runnerLeaseLabel } from '../model/runner-life.ts'
import { openTargets } from '../model/state.ts'
import type { Experiment, RunnerLife } from './experiment/observe.ts'
import { owesNothing } from './recovery/abandon.ts'
import { release } from './recovery/let-go.ts'
import { RunnerCensus, type RunnerLease } from './runners.ts'

/** The annotation that ends a run early. */
export const abortAnnotation = 'chaos.chaosplane.io/abort'

/** What draining needs. */
export type DrainParts = {
  client: KubeClient
  clock: Clock
  monotonic: () => number
  log: Log
  /** of the product */
  namespace: string
  /** pod that drains */
  self: string
  deadlineMs: number
}

const lookMs = 500
/** A runner has heard of the switch after so long, milliseconds; what it began before then is seen by then. */
const heardMs = 2_000
const uninstalling = 'chaosplane is being uninstalled'

/**
 * Pulls the kill switch, so that nothing new is begun behind its back; aborts every active experiment, waits until each
 * has been put back and let go, and lets go itself of those that owe nothing and have no runner. Returns what is left, a
 * line each.
 */
export async function drain(parts: DrainParts, signal: AbortSignal): Promise<string[]> {
  const stop = new AbortController()
  const watched = AbortSignal.any([signal, stop.signal])
  const { client, namespace, log } = parts
  const runners = createReflector<RunnerLease>({
    client,
    path: resourcePath({ ...leases, namespace }),
    query: { labelSelector: runnerLeaseLabel },
    onError: (err) => log.warn({ err }, 'the Leases of the runners cannot be followed'),
  })
  const census = new RunnerCensus(runners.store, parts.monotonic)
  const following = runners.run(watched)
  const lifeOf = (holder: string): RunnerLife => census.lifeOf(holder, namespace)
  try {
    return await drainAll(parts, lifeOf, signal)
  } finally {
    stop.abort()
    await following
  }
}

async function drainAll(
  parts: DrainParts,
  lifeOf: (holder: string) => RunnerLife,
  signal: AbortSignal,
): Promise<string[]> {
  const { client, monotonic, log, deadlineMs } = parts
  await pullSwitch(parts, signal)
  const heardAt = monotonic() + heardMs
  const until = monotonic() + deadlineMs
  const asked = new Set<string>()
  for (;;) {
    const isHeard = monotonic() >= heardAt
    const active = await activeOf(client, signal)
    if (active.length === 0 && isHeard) {
      log.info({ aborted: asked.size }, 'no experiment is active')
      return []
    }
    for (const one of active) {
      if (!asked.has(one.object.metadata.uid)) {
        await ask(client, one, signal)
        asked.add(one.object.metadata.uid)
        log.info({ experiment: nameOf(one) }, 'asked to end early')
      } else if (owesNothing(one.object, lifeOf(holderOf(one)))) await free(parts, one, signal)
    }
    if (monotonic() >= until && (active.length > 0 || isHeard)) return active.map(leftText)
    await parts.clock.sleep(lookMs, signal)
  }
}

/** What stands there already is somebody's reason, and stays. */
async function pullSwitch(
  { client, namespace, log }: DrainParts,
  signal: AbortSignal,
): Promise<void> {
  const path = resourcePath({ ...configMaps, namespace, name: haltConfigMap })
  const map = await client.find<KubeObject>(path, { signal })
  if (!map) {
    log.warn({ namespace, configMap: haltConfigMap }, 'there is no kill switch to pull')
    return
  }
  if (haltReason(map.metadata.annotations) !== null) return
  const metadata = { annotations: { [haltAnnotation]: uninstalling } }
  await client.mergePatch(path, { metadata }, { signal })
  log.info({ namespace, configMap: haltConfigMap }, 'the kill switch is pulled')
}

type Active = { kind: ResourceKind; object: Experiment }

async function activeOf(client: KubeClient, signal: AbortSignal): Promise<Active[]> {
  const lists = [chaosExperiments, kubernetesChaosExperiments].map(async (kind) => {
    try {
      const { items } = await client.list<Experiment>(resourcePath(kind), { signal })
      return items.map((object) => ({ kind, object }))
    } catch (error) {
      // the kind is not installed (any more): nothing of it can be active
      if (isNotFound(error)) return []
      throw error
    }
  })
  const all = (await Promise.all(lists)).flat()
  return all.filter(({ object }) => object.metadata.finalizers?.includes(runFinalizer))
}

async function ask(client: KubeClient, { kind, object }: Active, signal: AbortSignal) {
  const { name, namespace = '' } = object.metadata
  const metadata = { annotations: { [abortAnnotation]: 'true' } }
  try {
    await client.mergePatch(resourcePath({ ...kind, namespace, name }), { metadata }, { signal })
  } catch (error) {
    if (!isNotFound(error)) throw error
  }
}

async function free(parts: DrainParts, active: Active, signal: AbortSignal): Promise<void> {
  const { client, self, namespace, log } = parts
  try {
    await release({ client, self, namespace, kind: active.kind }, active.object, signal)
    log.info({ experiment: nameOf(active) }, 'let go: it owes nothing and has no runner')
  } catch (error) {
    // somebody was faster, a runner perhaps: looked at anew
    if (!isConflict(error) && !isNotFound(error)) throw error
  }
}

const holderOf = ({ object }: Active): string =>
  object.metadata.annotations?.[claimAnnotation] ?? ''

const nameOf = ({ kind, object }: Active): string =>
  `${kind.plural}/${object.metadata.namespace}/${object.metadata.name}`

function leftText(active: Active): string {
  const { run } = active.object.status ?? {}
  const open = run ? openTargets(run) : []
  const owed = open.map(({ id, node, remaining = [] }) =>
    [id, node ? ` on ${node}` : '', ...remaining.map((command) => `; by hand: ${command}`)].join(
      '',
    ),
  )
  const what = owed.length > 0 ? `not yet put back: ${owed.join(', ')}` : 'nothing is injected'
  return `${nameOf(active)} is still held by ${run?.runner ?? 'no runner'}: ${what}`
}
