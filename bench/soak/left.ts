import { runnerLeaseName } from '../../model/runner-life.ts'
import type { Json } from '../../test-e2e/watchers/api.ts'

/** Objects of the API that experiments work on or make. */
export type Objects = Record<
  'experiments' | 'leases' | 'policies' | 'deployments' | 'nodes' | 'pods',
  readonly Json[]
>

const named = ({ metadata }: Json): string =>
  [metadata.namespace, metadata.name].filter(Boolean).join('/')

/** Labels and annotations of the product's own, and finalizers; empty when there are none. */
function marksOf({ metadata }: Json): string {
  const own = (of: Record<string, string> = {}): string[] =>
    Object.entries(of)
      .filter(([key]) => key.startsWith('chaos.chaosplane.io/'))
      .map(([key, value]) => `${key}=${value}`)
      .sort()
  const marks = [...own(metadata.labels), ...own(metadata.annotations)]
  return [...marks, ...(metadata.finalizers ?? [])].join(', ')
}

const withMarks = (line: string, object: Json): string => {
  const marks = marksOf(object)
  return marks ? `${line}, marked ${marks}` : line
}

const deploymentLine = (deployment: Json): string => {
  const { replicas, template } = deployment.spec
  const line = `deployment ${named(deployment)} with ${replicas} replicas of ${JSON.stringify(template.metadata)}`
  return withMarks(line, deployment)
}

const nodeLine = (node: Json): string => {
  const { taints = [], unschedulable = false } = node.spec
  const line = `node ${named(node)}, taints ${JSON.stringify(taints)}, unschedulable ${unschedulable}`
  return withMarks(line, node)
}

/** What is written into those of the programs changes all the time; a runner's is called by its pod, which may be a new one. */
function leaseLine(lease: Json, pods: readonly Json[]): string {
  const { namespace, name } = lease.metadata
  const isOfPod = (pod: Json): boolean =>
    pod.metadata.namespace === namespace && runnerLeaseName(pod.metadata.name) === name
  return pods.some(isOfPod) ? 'lease of a runner that is there' : `lease ${named(lease)}`
}

/** A target that has come anew has another name, and must have no other marks. */
const podLines = (pod: Json): string[] => {
  const { namespace, labels = {} } = pod.metadata
  if (labels['chaos.chaosplane.io/part']) return [`pod ${named(pod)}`]
  const marks = marksOf(pod)
  if (namespace === 'chaosplane' || !marks) return []
  return [`pod of ${labels.app ?? named(pod)}, marked ${marks}`]
}

/** All that experiments can leave on objects and among them, one line each. */
export const objectLines = (all: Objects): string[] => [
  ...all.experiments.map((run) => withMarks(`experiment ${named(run)}`, run)),
  ...all.leases.map((lease) => leaseLine(lease, all.pods)),
  ...all.policies.map((policy) =>
    withMarks(`policy ${named(policy)}: ${JSON.stringify(policy.spec)}`, policy),
  ),
  ...all.deployments.map(deploymentLine),
  ...all.nodes.map(nodeLine),
  ...all.pods.flatMap(podLines),
]
