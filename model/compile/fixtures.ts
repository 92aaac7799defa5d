import { readFileSync } from 'node:fs'
import { parse } from 'yaml'
import type { Json } from './problems.ts'

const folder = new URL('../documents/fixtures/', import.meta.url)

/** A published document, unchanged. */
export const published = (name: string): Json =>
  parse(readFileSync(new URL(name, folder), 'utf8')) as Json

export type Over = {
  chaos?: Json
  task?: Json
  spec?: Json
  env?: Record<string, unknown>
  workloads?: Json[] | null
}

/** A small KubernetesChaosExperiment with parts replaced. */
export function litmusDocument({ chaos, task, spec, env, workloads }: Over = {}): Json {
  const targets = [{ kind: 'deployment', namespace: 'demo', names: 'web', labels: '' }]
  return {
    apiVersion: 'litmuschaos.io/v1alpha1',
    kind: 'KubernetesChaosExperiment',
    metadata: { name: 'exp', namespace: 'v2', uid: 'uid-1' },
    spec: {
      serviceAccountName: 'litmus',
      steps: [[{ name: 'one' }]],
      tasks: [
        {
          name: 'one',
          definition: {
            targets: workloads === null ? {} : { selectors: { workloads: workloads ?? targets } },
            chaos: {
              experiment: 'pod-delete',
              env: Object.entries(env ?? {}).map(([name, value]) => ({ name, value })),
              ...chaos,
            },
          },
          ...task,
        },
      ],
      ...spec,
    },
  }
}

/** A small ChaosExperiment with parts of its spec replaced. */
export const chaosplaneDocument = (spec: Json = {}, annotations: Json = {}): Json => ({
  apiVersion: 'chaos.chaosplane.io/v1alpha1',
  kind: 'ChaosExperiment',
  metadata: { name: 'exp', namespace: 'v2', uid: 'uid-1', annotations },
  spec: {
    target: { kind: 'Pod', namespace: 'demo', labelSelector: { matchLabels: { app: 'web' } } },
    action: { type: 'pod-kill', parameters: {} },
    duration: '30s',
    ...spec,
  },
})
