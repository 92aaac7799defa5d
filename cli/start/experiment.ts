import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse } from 'yaml'
import { kubernetesChaosExperiments, pods, resourcePath } from '../../lib/kube/paths.ts'
import type { KubeObject } from '../../lib/kube/types.ts'
import { compileKubernetesChaosExperiment } from '../../model/compile/kubernetes-chaos-experiment.ts'
import { faultCatalogue } from '../../runner/faults/catalogue.generated.ts'
import type { Access } from './access.ts'
import { type Hands, removeAndWait } from './apply.ts'
import { demoDeployments, demoNamespace, experimentNamespace, loadDeployment } from './demo.ts'
import { productNamespace } from './install.ts'
import { type Found, isAsBefore, type LoadSums, lastSums, loadBetween } from './outcome.ts'
import { availability, type DeploymentSeen } from './rollout.ts'
import type { Compile } from './view/seen.ts'

const file = join(import.meta.dirname, '../../examples/seed-experiment.yaml')

/** The document that is applied, as its file says it. */
export const experimentFile = 'examples/seed-experiment.yaml'
export const experimentName = (parse(readFileSync(file, 'utf8')) as { metadata: { name: string } })
  .metadata.name

/** Reads the document as the runner does. */
export const compileExperiment: Compile = (object) =>
  compileKubernetesChaosExperiment(object, faultCatalogue)

/** `kubectl apply` of the file as it is. */
export async function applyExperiment(access: Access, signal: AbortSignal): Promise<void> {
  await access.kubectl(['apply', '-f', file], { signal, timeoutMs: 60_000 })
}

/** Deletes the experiment: an early end like any other; gone once everything is put back. */
export function removeExperiment(hands: Hands, deadlineMs: number): Promise<void> {
  const place = { namespace: experimentNamespace, name: experimentName }
  return removeAndWait({ kind: kubernetesChaosExperiments, ...place, deadlineMs }, hands)
}

/** The sums of the load as they stand now; null when its pod does not say any. */
export async function loadSums({ client, signal }: Hands): Promise<LoadSums | null> {
  const at = { ...pods, namespace: demoNamespace }
  const query = { labelSelector: `app=${loadDeployment}` }
  const { items } = await client.list<KubeObject>(resourcePath(at), { signal, query })
  const [first] = items
  if (!first) return null
  const path = resourcePath({ ...at, name: first.metadata.name, subresource: 'log' })
  return lastSums(await client.text(path, { signal, query: { tailLines: '5' } }))
}

const firstSumsMs = 10_000
const recoveryMs = 60_000
const pollMs = 250

/** The first sums of a load that has just been started; null when it says nothing. */
export async function firstLoadSums(hands: Hands): Promise<LoadSums | null> {
  const until = hands.clock.now() + firstSumsMs
  for (;;) {
    const sums = await loadSums(hands)
    if (sums || hands.clock.now() > until) return sums
    await hands.clock.sleep(pollMs, hands.signal)
  }
}

type Left = Pick<Found, 'finalizers' | 'pods' | 'deployments'>

/** Looks at the cluster after the run until nothing is left of it, a minute at most. */
export async function lookAfter(hands: Hands, loadBefore: LoadSums | null): Promise<Found> {
  const { clock, signal } = hands
  const endedAt = clock.now()
  for (;;) {
    const left = await lookForLeft(hands)
    const ms = clock.now() - endedAt
    const isOver = isAsBefore(left)
    if (isOver || ms > recoveryMs) {
      const load = loadBetween(loadBefore, await loadSums(hands))
      return { ...left, recoveredMs: isOver ? ms : null, load }
    }
    await clock.sleep(pollMs, signal)
  }
}

async function lookForLeft(hands: Hands): Promise<Left> {
  const { client, signal } = hands
  const where = { ...kubernetesChaosExperiments, namespace: experimentNamespace }
  const object = await client.find<KubeObject>(resourcePath({ ...where, name: experimentName }), {
    signal,
  })
  return {
    finalizers: object?.metadata.finalizers ?? [],
    pods: await podsOfRuns(hands),
    deployments: await demoAvailability(hands),
  }
}

/** Pods beside those of the product's own Deployments: fault pods, and probe pods beside the experiment. */
async function podsOfRuns({ client, signal }: Hands): Promise<string[]> {
  const found: string[] = []
  for (const namespace of [productNamespace, experimentNamespace]) {
    const { items } = await client.list<KubeObject>(resourcePath({ ...pods, namespace }), {
      signal,
    })
    for (const { metadata } of items)
      if (!metadata.ownerReferences?.some((owner) => owner.kind === 'ReplicaSet'))
        found.push(`${namespace}/${metadata.name}`)
  }
  return found
}

async function demoAvailability({ client, signal }: Hands): Promise<Found['deployments']> {
  const path = `/apis/apps/v1/namespaces/${demoNamespace}/deployments`
  const { items } = await client.list<DeploymentSeen>(path, { signal })
  return items
    .filter((d) => demoDeployments.some((name) => name === d.metadata.name))
    .map(availability)
}
