import type { Clock } from '../lib/clock.ts'
import type { KubeClient } from '../lib/kube/client.ts'
import { isNotFound } from '../lib/kube/errors.ts'
import {
  chaosExperiments,
  kubernetesChaosExperiments,
  type ResourceKind,
  resourcePath,
} from '../lib/kube/paths.ts'
import type { Log } from '../lib/log.ts'
import { runFinalizer } from '../model/runner-life.ts'
import { openTargets } from '../model/state.ts'
import type { Experiment } from './experiment/observe.ts'

/** The annotation that ends a run early. */
export const abortAnnotation = 'chaos.chaosplane.io/abort'

/** What draining needs. */
export type DrainParts = { client: KubeClient; clock: Clock; log: Log; deadlineMs: number }

const lookMs = 500

/** Aborts every active experiment and waits until each has been put back and let go. Returns what is left, a line each. */
export async function drain(parts: DrainParts, signal: AbortSignal): Promise<string[]> {
  const { clock, log, deadlineMs } = parts
  const until = clock.now() + deadlineMs
  const asked = new Set<string>()
  for (;;) {
    const active = await activeOf(parts.client, signal)
    if (active.length === 0) {
      log.info({ aborted: asked.size }, 'no experiment is active')
      return []
    }
    for (const one of active.filter(({ object }) => !asked.has(object.metadata.uid))) {
      await ask(parts.client, one, signal)
      asked.add(one.object.metadata.uid)
      log.info({ experiment: nameOf(one) }, 'asked to end early')
    }
    if (clock.now() >= until) return active.map(leftText)
    await clock.sleep(lookMs, signal)
  }
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
