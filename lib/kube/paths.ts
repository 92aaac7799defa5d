/** A kind as its URL names it. `group` is empty for the core kinds. */
export type ResourceKind = { group: string; version: string; plural: string }

/** Where in that kind: one object, one namespace, or everything. */
export type ResourcePlace = { namespace?: string; name?: string; subresource?: string }

/** The URL path of a kind, an object or its subresource. */
export function resourcePath(of: ResourceKind & ResourcePlace): string {
  const parts = of.group ? ['apis', of.group, of.version] : ['api', of.version]
  if (of.namespace) parts.push('namespaces', encodeURIComponent(of.namespace))
  parts.push(of.plural)
  if (of.name) parts.push(encodeURIComponent(of.name))
  if (of.subresource) parts.push(of.subresource)
  return `/${parts.join('/')}`
}

/** `group/version` as it stands in `apiVersion`. */
export const apiVersionOf = ({ group, version }: { group: string; version: string }): string =>
  group ? `${group}/${version}` : version

const core = (plural: string): ResourceKind => ({ group: '', version: 'v1', plural })
const apps = (plural: string): ResourceKind => ({ group: 'apps', version: 'v1', plural })

export const pods = core('pods')
export const nodes = core('nodes')
export const namespaces = core('namespaces')
export const serviceAccounts = core('serviceaccounts')
export const configMaps = core('configmaps')
export const secrets = core('secrets')
export const services = core('services')
export const replicationControllers = core('replicationcontrollers')
export const deployments = apps('deployments')
export const statefulSets = apps('statefulsets')
export const daemonSets = apps('daemonsets')
export const replicaSets = apps('replicasets')
export const jobs: ResourceKind = { group: 'batch', version: 'v1', plural: 'jobs' }
export const events: ResourceKind = { group: 'events.k8s.io', version: 'v1', plural: 'events' }
export const leases: ResourceKind = {
  group: 'coordination.k8s.io',
  version: 'v1',
  plural: 'leases',
}
export const horizontalPodAutoscalers: ResourceKind = {
  group: 'autoscaling',
  version: 'v2',
  plural: 'horizontalpodautoscalers',
}
export const networkPolicies: ResourceKind = {
  group: 'networking.k8s.io',
  version: 'v1',
  plural: 'networkpolicies',
}
export const subjectAccessReviews: ResourceKind = {
  group: 'authorization.k8s.io',
  version: 'v1',
  plural: 'subjectaccessreviews',
}
export const customResourceDefinitions: ResourceKind = {
  group: 'apiextensions.k8s.io',
  version: 'v1',
  plural: 'customresourcedefinitions',
}
export const rollouts: ResourceKind = {
  group: 'argoproj.io',
  version: 'v1alpha1',
  plural: 'rollouts',
}
export const deploymentConfigs: ResourceKind = {
  group: 'apps.openshift.io',
  version: 'v1',
  plural: 'deploymentconfigs',
}
export const kubernetesChaosExperiments: ResourceKind = {
  group: 'litmuschaos.io',
  version: 'v1alpha1',
  plural: 'kuberneteschaosexperiments',
}
export const chaosExperiments: ResourceKind = {
  group: 'chaos.chaosplane.io',
  version: 'v1alpha1',
  plural: 'chaosexperiments',
}
