import {
  apiVersionOf,
  chaosExperiments,
  kubernetesChaosExperiments,
  type ResourceKind,
  resourcePath,
} from '../../lib/kube/paths.ts'
import type { KubeObject } from '../../lib/kube/types.ts'

export type Kind = 'KubernetesChaosExperiment' | 'ChaosExperiment'
export const kinds: Record<Kind, ResourceKind> = {
  KubernetesChaosExperiment: kubernetesChaosExperiments,
  ChaosExperiment: chaosExperiments,
}

/** An experiment as the API server holds it; `spec` and `status` are parsed by who needs them. */
export type Experiment = KubeObject & {
  spec?: Record<string, unknown>
  status?: { run?: unknown }
}

/** Where one experiment lives. */
export type Resource = {
  kind: Kind
  apiVersion: string
  namespace: string
  name: string
  uid: string
  path: string
  statusPath: string
}

export function resourceOf(kind: Kind, object: KubeObject): Resource {
  const { name, uid, namespace = 'default' } = object.metadata
  const place = { ...kinds[kind], namespace, name }
  return {
    kind,
    apiVersion: apiVersionOf(kinds[kind]),
    namespace,
    name,
    uid,
    path: resourcePath(place),
    statusPath: resourcePath({ ...place, subresource: 'status' }),
  }
}
