import type { Permission } from './fault.ts'

const owner = 'finds the pods of a workload'

/** What the experiment's account must be allowed to read so that its targets can be found; nodes only for NODE_LABEL. */
export const selectionPermissions: readonly Permission[] = [
  { group: '', resource: 'pods', verbs: ['get', 'list'], why: 'finds the targets' },
  {
    group: 'apps',
    resource: 'deployments',
    verbs: ['get', 'list'],
    why: owner,
  },
  { group: 'apps', resource: 'statefulsets', verbs: ['get', 'list'], why: owner },
  { group: 'apps', resource: 'daemonsets', verbs: ['get', 'list'], why: owner },
  { group: 'apps', resource: 'replicasets', verbs: ['get', 'list'], why: owner },
  { group: '', resource: 'replicationcontrollers', verbs: ['get', 'list'], why: owner },
  { group: 'batch', resource: 'jobs', verbs: ['get', 'list'], why: owner },
  { group: 'argoproj.io', resource: 'rollouts', verbs: ['get', 'list'], why: owner },
  { group: 'apps.openshift.io', resource: 'deploymentconfigs', verbs: ['get', 'list'], why: owner },
]
