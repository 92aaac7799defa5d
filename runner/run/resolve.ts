import type { KubeClient } from '../../lib/kube/client.ts'
import { configMaps, resourcePath } from '../../lib/kube/paths.ts'
import type { KubeObject } from '../../lib/kube/types.ts'
import { parseProbe } from '../../model/compile/probe.ts'
import { ChaosError, type Trouble, troubleOf } from '../../model/errors.ts'
import type { Plan, ProbeReference } from '../../model/plan.ts'
import type { ProbePlan } from '../../model/probe.ts'
import type { ProbeState } from '../../model/state.ts'
import { ProbeFiles } from './probe-files.ts'
import type { Account } from './rights.ts'

export const registryName = 'chaosplane-probes'

export type Resolved = {
  plans: ReadonlyMap<string, readonly ProbePlan[]>
  states: Record<string, ProbeState[]>
  /** tasks whose references cannot be resolved */
  troubles: ReadonlyMap<string, Trouble>
  /** what entries of the registry say that is not used */
  notes: string[]
}

type Registry = { entries: Map<string, string>; namespace: string }

/** The probe registry: one ConfigMap in the experiment's namespace, found by its name: `get` is all the right that it takes. */
async function readRegistry(
  kube: KubeClient,
  namespace: string,
  signal: AbortSignal,
): Promise<Registry> {
  type ConfigMap = KubeObject & { data?: Record<string, string> }
  const path = resourcePath({ ...configMaps, namespace, name: registryName })
  const found = await kube.find<ConfigMap>(path, { signal })
  return { namespace, entries: new Map(Object.entries(found?.data ?? {})) }
}

/** The record of a probe that was not evaluated yet; of a reference, as long as it is not resolved. */
export const stateOfProbe = (probe: ProbePlan | ProbeReference): ProbeState => ({
  name: 'ref' in probe ? probe.ref : probe.name,
  type: 'ref' in probe ? '' : probe.type,
  mode: probe.mode,
  verdict: 'Awaited',
  description: '',
  evaluations: 0,
})

type Question = { plan: Plan; account: Account; signal: AbortSignal }

/**
 * Replaces references by what the registry says, and files by what Secrets hold; what is not there is an error
 * before anything is injected.
 */
export async function resolveProbes(
  kube: KubeClient,
  { plan, account, signal }: Question,
): Promise<Resolved> {
  const needed = plan.tasks.some((t) => t.probes.some((p) => 'ref' in p))
  const registry = needed ? await readRegistry(kube, plan.namespace, signal) : null
  const files = new ProbeFiles({ kube, account, signal })
  const plans = new Map<string, ProbePlan[]>()
  const states: Record<string, ProbeState[]> = {}
  const troubles = new Map<string, Trouble>()
  const notes: string[] = []
  for (const task of plan.tasks) {
    const probes: ProbePlan[] = []
    for (const probe of task.probes) {
      const found = 'ref' in probe ? fromRegistry(probe, registry) : { probe, notes: [] }
      if ('reason' in found) {
        troubles.set(task.name, found)
        continue
      }
      notes.push(...found.notes)
      const filled = await files.fill(found.probe).catch((error: unknown) => {
        if (!(error instanceof ChaosError)) throw error
        troubles.set(task.name, troubleOf(error))
        return found.probe
      })
      probes.push(unique(filled, probes))
    }
    plans.set(task.name, probes)
    states[task.name] = probes.map(stateOfProbe)
  }
  return { plans, states, troubles, notes }
}

/** Two uses of one probe in one task, in different modes, are two probes. */
function unique(probe: ProbePlan, before: ProbePlan[]): ProbePlan {
  if (!before.some((p) => p.name === probe.name)) return probe
  const name = `${probe.name}-${probe.mode}`
  return { ...probe, name: before.some((p) => p.name === name) ? `${name}-${before.length}` : name }
}

function fromRegistry(
  { ref, mode }: ProbeReference,
  registry: Registry | null,
): { probe: ProbePlan; notes: string[] } | Trouble {
  const text = registry?.entries.get(ref)
  if (text === undefined) {
    const known = [...(registry?.entries.keys() ?? [])].sort()
    return {
      code: 'UNKNOWN_PROBE',
      reason: `probe ${ref} is not registered in namespace ${registry?.namespace}; ${known.length > 0 ? `registered are ${known.slice(0, 20).join(', ')}` : 'none is'}: add a key ${ref} with the probe's YAML to ConfigMap ${registryName}`,
    }
  }
  const parsed = parseProbe(text, mode, ref)
  if (parsed.ok) {
    const notes = parsed.notes.map((note) => `probe ${ref} of ConfigMap ${registryName}: ${note}`)
    return { probe: { ...parsed.probe, name: ref }, notes }
  }
  const first = parsed.refusals[0]
  return {
    code: 'UNKNOWN_PROBE',
    reason: `probe ${ref} in the registry cannot be read: ${first?.path}: ${first?.reason}; ${first?.suggestion}`,
  }
}
