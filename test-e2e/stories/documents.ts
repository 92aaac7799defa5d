import type { Json } from '../watchers/api.ts'

type Task = {
  name: string
  fault: string
  /** deployment in namespace demo; none for what is aimed at nodes */
  target?: string
  env?: Record<string, string | number>
  probes?: Json[]
  probeRef?: Json[]
}

const taskOf = ({ name, fault, target, env = {}, probes, probeRef }: Task) => ({
  name,
  definition: {
    ...(target === undefined
      ? {}
      : {
          targets: {
            selectors: {
              workloads: [{ kind: 'deployment', namespace: 'demo', names: target, labels: '' }],
            },
          },
        }),
    chaos: {
      experiment: fault,
      env: Object.entries(env).map(([key, value]) => ({ name: key, value: String(value) })),
      ...(probes ? { probes } : {}),
    },
  },
  ...(probeRef ? { probeRef } : {}),
})

/** An experiment with one task after the other. */
export const experiment = (name: string, tasks: Task[], spec: Json = {}) => ({
  apiVersion: 'litmuschaos.io/v1alpha1',
  kind: 'KubernetesChaosExperiment',
  metadata: { name, namespace: 'v2' },
  spec: {
    serviceAccountName: 'litmus',
    cleanupPolicy: 'delete',
    experimentId: '23a6c18c-63c6-4948-b932-ae8eef3921f6',
    steps: tasks.map((task) => [{ name: task.name }]),
    tasks: tasks.map(taskOf),
    ...spec,
  },
})

/** A quarter of a core of one pod of `target` is burnt: other clusters may be at work on the same processors. */
export const cpuHog = (target: string, seconds: number, more: Partial<Task> = {}): Task => ({
  name: `hog-${target}`.slice(0, 40),
  fault: 'pod-cpu-hog',
  target,
  ...more,
  env: { TOTAL_CHAOS_DURATION: seconds, CPU_CORES: 1, CPU_LOAD: 10, ...more.env },
})

/** One pod of `target` is deleted every `interval` seconds. */
export const podDelete = (target: string, seconds: number, more: Partial<Task> = {}): Task => ({
  name: `delete-${target}`.slice(0, 40),
  fault: 'pod-delete',
  target,
  ...more,
  env: { TOTAL_CHAOS_DURATION: seconds, CHAOS_INTERVAL: 2, ...more.env },
})

/** A probe that asks a Service before chaos, for this status. */
export const httpProbe = (service: string, code: number, run: Json = {}) => ({
  name: 'web',
  type: 'httpProbe',
  mode: 'SOT',
  'httpProbe/inputs': {
    url: `http://${service}.demo.svc.cluster.local/healthz`,
    method: { get: { criteria: '==', responseCode: String(code) } },
  },
  runProperties: { probeTimeout: '2s', interval: '1s', attempt: 1, ...run },
})

/** The other dialect. */
export const chaosExperiment = (name: string, target: string, spec: Json) => ({
  apiVersion: 'chaos.chaosplane.io/v1alpha1',
  kind: 'ChaosExperiment',
  metadata: {
    name,
    namespace: 'v2',
    annotations: { 'chaos.chaosplane.io/service-account': 'litmus' },
  },
  spec: {
    target: { kind: 'Pod', namespace: 'demo', labelSelector: { matchLabels: { app: target } } },
    ...spec,
  },
})

/** Packets that one pod of `target` sends are lost. */
export const networkLoss = (target: string, seconds: number, more: Partial<Task> = {}): Task => ({
  name: `lose-${target}`.slice(0, 40),
  fault: 'pod-network-loss',
  target,
  ...more,
  env: { TOTAL_CHAOS_DURATION: seconds, ...more.env },
})

/** Connections of one pod of `target` are cut. */
export const networkPartition = (
  target: string,
  seconds: number,
  more: Partial<Task> = {},
): Task => ({
  name: `cut-${target}`.slice(0, 40),
  fault: 'pod-network-partition',
  target,
  ...more,
  env: { TOTAL_CHAOS_DURATION: seconds, ...more.env },
})

/** Connections of the pods of `target` are forbidden by a NetworkPolicy. */
export const networkPolicy = (
  target: string,
  seconds: number,
  env: Record<string, string | number> = {},
): Task => ({
  name: `forbid-${target}`.slice(0, 40),
  fault: 'pod-network-policy',
  target,
  env: { TOTAL_CHAOS_DURATION: seconds, ...env },
})

/** What one pod of `target` sends is delayed. */
export const networkLatency = (
  target: string,
  seconds: number,
  more: Partial<Task> = {},
): Task => ({
  name: `delay-${target}`.slice(0, 40),
  fault: 'pod-network-latency',
  target,
  ...more,
  env: { TOTAL_CHAOS_DURATION: seconds, ...more.env },
})

/** A node gets a taint. */
export const nodeTaint = (node: string, seconds: number, taints: string): Task => ({
  name: `taint-${node}`.slice(0, 40),
  fault: 'node-taint',
  env: { TOTAL_CHAOS_DURATION: seconds, TARGET_NODE: node, TAINTS: taints },
})

/** A node is cordoned and emptied. */
export const nodeDrain = (node: string, seconds: number, more: Partial<Task> = {}): Task => ({
  name: `drain-${node}`.slice(0, 40),
  fault: 'node-drain',
  ...more,
  env: { TOTAL_CHAOS_DURATION: seconds, TARGET_NODE: node, ...more.env },
})

/** A deployment is scaled. */
export const scale = (
  target: string,
  seconds: number,
  env: Record<string, string | number>,
): Task => ({
  name: `scale-${target}`.slice(0, 40),
  fault: 'pod-autoscaler',
  target,
  env: { TOTAL_CHAOS_DURATION: seconds, ...env },
})
