import type { NodeOrder } from './fault-pod.ts'
import { orderVariables } from './order-env.ts'
import type { PodSettings } from './plan.ts'
import { pullSecretsOf } from './pull-secrets.ts'

/** Labels by which fault pods are found: by run, by resource, all of them. */
export const faultPodLabels = {
  part: 'chaos.chaosplane.io/part',
  run: 'chaos.chaosplane.io/run',
  task: 'chaos.chaosplane.io/task',
  uid: 'chaos.chaosplane.io/resource-uid',
  fault: 'chaos.chaosplane.io/fault',
  attempt: 'chaos.chaosplane.io/attempt',
  kind: 'chaos.chaosplane.io/kind',
  namespace: 'chaos.chaosplane.io/namespace',
  /** on a pod that was warm: the name that a pod made for the run would have */
  serves: 'chaos.chaosplane.io/serves',
} as const

/** The container of the fault program: orders are attached here, its output is the task's log. */
export const faultContainer = 'fault'
export const guardContainer = 'guard'

/** Below this folder of the host lie all journals. */
const stateFolder = '/var/lib/chaosplane'

const safe = (part: string): string =>
  part.replace(/[^A-Za-z0-9._-]/g, '_').replace(/^\.+$/, '_') || '_'

/** The journal's folder on the host; its `undo.sh` puts everything back that is still open. */
export const journalFolder = (
  order: Pick<NodeOrder, 'cluster' | 'node' | 'run' | 'task'>,
): string =>
  [stateFolder, ...[order.cluster, order.node, order.run, order.task].map(safe)].join('/')

export type OwnerReference = { apiVersion: string; kind: string; name: string; uid: string }

/** What every fault pod is made from, with an order or without. */
type PodParts = {
  name: string
  /** the product's own namespace */
  namespace: string
  image: string
  imagePullPolicy: 'Always' | 'IfNotPresent' | 'Never'
  /** of the product, by which its image is pulled */
  imagePullSecrets: readonly string[]
  /** of the fault, from its definition */
  capabilities: readonly string[]
  /** the runner's Deployment: an owner in another namespace would get the pod deleted */
  owner: OwnerReference | null
  priorityClassName: string | null
  /** whether it asks the node for CPU and memory; a node that has none to give refuses such a pod */
  reserve: boolean
}

export type FaultPodParts = PodParts & {
  order: NodeOrder
  /** what the experiment may say about the pod */
  settings: PodSettings
}

/** `idleMs`: it ends by itself when nobody claims it for so long. */
export type WarmPodParts = Omit<PodParts, 'reserve'> & { node: string; idleMs: number }

/** A label's value, as the API server accepts it. */
export const labelValue = (text: string): string =>
  text
    .replace(/[^A-Za-z0-9._-]/g, '-')
    .slice(0, 63)
    .replace(/^[^A-Za-z0-9]+|[^A-Za-z0-9]+$/g, '')

const meshOptOut = {
  annotations: { 'sidecar.istio.io/inject': 'false', 'linkerd.io/inject': 'disabled' },
  labels: { 'sidecar.istio.io/inject': 'false' },
}

const securityContext = (capabilities: readonly string[]) => ({
  runAsUser: 0,
  runAsGroup: 0,
  runAsNonRoot: false,
  privileged: false,
  allowPrivilegeEscalation: capabilities.includes('SYS_ADMIN'),
  readOnlyRootFilesystem: true,
  capabilities: { drop: ['ALL'], add: [...capabilities] },
  // the profiles of the runtimes forbid entering another process's root, which is how the host is reached
  appArmorProfile: { type: 'Unconfined' },
  seLinuxOptions: { type: 'spc_t' },
})

/**
 * Without requests a pod is BestEffort and gets next to no CPU on a node that its own fault has filled:
 * the revert would be late just when it counts. No limits: they would only slow it down.
 */
const reserved = {
  [faultContainer]: { requests: { cpu: '50m', memory: '48Mi' } },
  [guardContainer]: { requests: { cpu: '50m', memory: '16Mi' } },
}

type Variable = { name: string; value: string }
type Body = PodParts & {
  node: string
  settings: PodSettings
  labels: Record<string, string>
  /** of the program alone, and of program and guard */
  env: { program: Variable[]; both: Variable[] }
}

function containers(body: Body): object[] {
  const { image, imagePullPolicy, capabilities, settings, env } = body
  const resources = (name: keyof typeof reserved) => {
    const chosen = settings.resources ?? (body.reserve ? reserved[name] : undefined)
    return chosen ? { resources: chosen } : {}
  }
  const common = {
    image,
    imagePullPolicy,
    securityContext: securityContext(capabilities),
  }
  // The program first: while the runtime makes the guard's container, the program starts up. It waits for the guard.
  return [
    {
      ...common,
      ...resources(faultContainer),
      name: faultContainer,
      command: ['node', '/app/fault-pod.cjs'],
      env: [...env.program, ...env.both],
      stdin: true,
      stdinOnce: false,
    },
    {
      ...common,
      ...resources(guardContainer),
      name: guardContainer,
      command: ['sh', '/app/guard.sh'],
      env: env.both,
    },
  ]
}

/** The labels by which the fault pods of an order are found. */
export const orderLabels = (order: NodeOrder): Record<string, string> => ({
  [faultPodLabels.part]: 'fault-pod',
  [faultPodLabels.run]: labelValue(order.run),
  [faultPodLabels.task]: labelValue(order.task),
  [faultPodLabels.uid]: labelValue(order.resource.uid),
  [faultPodLabels.fault]: labelValue(order.fault),
  [faultPodLabels.attempt]: String(order.attempt),
  [faultPodLabels.kind]: labelValue(order.resource.kind),
  [faultPodLabels.namespace]: labelValue(order.resource.namespace),
})

/** The pod that carries out one order on one node. */
export function faultPod(parts: FaultPodParts): object {
  const { order } = parts
  const both = [
    { name: 'CHAOSPLANE_JOURNAL', value: journalFolder(order) },
    { name: 'CHAOSPLANE_ATTEMPT', value: String(order.attempt) },
  ]
  const env = { program: orderVariables(order), both }
  return podOf({ ...parts, node: order.node, labels: orderLabels(order), env })
}

/** The labels of a pod that waits for a run. */
export const warmLabels = {
  /** `free`: nobody's; `claimed`: a run's */
  warm: 'chaos.chaosplane.io/warm',
  /** what the pod may do, so that a run gets no more than its fault needs */
  capabilities: 'chaos.chaosplane.io/capabilities',
  /** when a run claimed it, unix milliseconds: to whoever asks whose it is, it is as old as that */
  claimedAt: 'chaos.chaosplane.io/claimed-at',
} as const

/** Capabilities as the value of a label. */
export const capabilityLabel = (capabilities: readonly string[]): string =>
  capabilities.toSorted().join('.')

/** The same pod without an order: it gets one over the attached stream, from the run that claims it. */
export function warmPod(parts: WarmPodParts): object {
  const { node, capabilities } = parts
  const both = [{ name: 'CHAOSPLANE_WARM_MS', value: String(parts.idleMs) }]
  const labels = {
    [faultPodLabels.part]: 'fault-pod',
    [warmLabels.warm]: 'free',
    [warmLabels.capabilities]: capabilityLabel(capabilities),
  }
  const env = { program: [], both }
  return podOf({ ...parts, node, settings: {}, reserve: true, labels, env })
}

/**
 * No volume: each costs a quarter of a second, and the host is reached through /proc.
 * No activeDeadlineSeconds: kubelet would end the pod while something is still to be reverted; the program,
 * the guard and what is started in the target all hold the deadline themselves.
 * The node's name is set, so no scheduler is asked: a cordoned or full node is no obstacle.
 */
function podOf(parts: Body): object {
  const { settings } = parts
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: parts.name,
      namespace: parts.namespace,
      labels: { ...settings.labels, ...meshOptOut.labels, ...parts.labels },
      annotations: { ...settings.annotations, ...meshOptOut.annotations },
      ...(parts.owner ? { ownerReferences: [parts.owner] } : {}),
    },
    spec: {
      nodeName: parts.node,
      hostPID: true,
      restartPolicy: 'OnFailure',
      terminationGracePeriodSeconds: 5,
      automountServiceAccountToken: false,
      enableServiceLinks: false,
      // network faults look names up as the target would
      dnsPolicy: 'ClusterFirst',
      tolerations: [{ operator: 'Exists' }, ...(settings.tolerations ?? [])],
      ...(parts.priorityClassName ? { priorityClassName: parts.priorityClassName } : {}),
      ...pullSecretsOf(parts.imagePullSecrets, settings.imagePullSecrets),
      containers: containers(parts),
    },
  }
}
