import * as z from 'zod'
import { defineFault } from '../../../model/fault.ts'
import { duration, wholeNumber } from '../../../model/tunable.ts'

const params = z.object({
  replicas: z.int().min(0).max(10_000).describe('Replicas that the workload gets.'),
  timeoutMs: z.int().min(1000).describe('How long they may take to be ready, milliseconds.'),
})
export type PodAutoscalerParams = z.infer<typeof params>

/** Workloads are scaled; the number that stood there comes back. */
export const podAutoscaler = defineFault({
  id: 'pod-autoscaler',
  title: 'Scale workloads',
  names: { litmus: ['pod-autoscaler'], chaosplane: [] },
  hands: 'kube',
  lasts: 'while-held',
  targets: 'workloads',
  kinds: ['deployment', 'statefulset'],
  defaults: { durationMs: 60_000 },
  params,
  tunables: [
    {
      name: 'REPLICA_COUNT',
      dialect: 'litmus',
      default: '5',
      text: 'Replicas that each workload gets; 0 takes all of them away.',
    },
    {
      name: 'STATUS_CHECK_TIMEOUT',
      dialect: 'litmus',
      default: '180',
      text: 'Seconds until all of them must be ready; an Error and everything put back when they are not.',
    },
  ],
  commands: ({ replicas }, { target: { kind, namespace, name } }) => ({
    inject: [`kubectl -n ${namespace} scale ${kind.toLowerCase()}/${name} --replicas=${replicas}`],
    undo: [`kubectl -n ${namespace} scale ${kind.toLowerCase()}/${name} --replicas=<as before>`],
  }),
  leaves: ({ replicas }) => replicas,
  fromLitmus: (tunables) => ({
    replicas: wholeNumber(tunables, { name: 'REPLICA_COUNT', min: 0, max: 10_000, unset: 5 }),
    timeoutMs: duration(tunables, { name: 'STATUS_CHECK_TIMEOUT', minMs: 1000, unset: 180_000 }),
  }),
  fromChaosplane: () => ({ replicas: 5, timeoutMs: 180_000 }),
  permissions: ['deployments', 'statefulsets'].map((kind) => ({
    group: 'apps',
    resource: `${kind}/scale`,
    verbs: ['patch', 'get'],
    why: 'scales the targets',
  })),
  restores: [
    ...['deployments', 'statefulsets'].map((kind) => ({
      group: 'apps',
      resource: kind,
      verbs: ['get'],
      why: 'sees how many replicas are ready',
    })),
    ...['deployments', 'statefulsets'].map((kind) => ({
      group: 'apps',
      resource: `${kind}/scale`,
      verbs: ['get', 'patch'],
      why: 'puts the number of replicas back',
    })),
    {
      group: 'autoscaling',
      resource: 'horizontalpodautoscalers',
      verbs: ['list'],
      why: 'sees whether an autoscaler would undo it',
    },
  ],
  capabilities: [],
  errorWhenNoEffect: 'EFFECT_NOT_SEEN',
})
