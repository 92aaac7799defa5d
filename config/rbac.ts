import { readFile, writeFile } from 'node:fs/promises'
import type { FaultDefinition, Permission } from '../model/fault.ts'
import { haltConfigMap } from '../model/halt.ts'
import { faultCatalogue } from '../runner/faults/catalogue.generated.ts'

/** What the generator needs to know of one fault. */
export type FaultRights = {
  id: string
  title: string
  hands: 'kube' | 'node'
  permissions: readonly Permission[]
  /** rules of the runner itself */
  restores?: readonly Permission[]
  targets?: FaultDefinition['targets']
}

const experiments = {
  litmus: { group: 'litmuschaos.io', plural: 'kuberneteschaosexperiments' },
  chaosplane: { group: 'chaos.chaosplane.io', plural: 'chaosexperiments' },
} as const

const onExperiments = (verbs: readonly string[], why: string, subresource = ''): Permission[] =>
  Object.values(experiments).map(({ group, plural }) => ({
    group,
    resource: plural + subresource,
    verbs,
    why,
  }))

/** Operator, everywhere: it looks at experiments, explains them, and sweeps pods that nobody owns any more. */
export const operatorClusterRights: readonly Permission[] = [
  ...onExperiments(['get', 'list', 'watch', 'patch'], 'watch runs; annotate them on uninstall'),
  ...onExperiments(['patch'], 'phase, verdict and conditions', '/status'),
  {
    group: '',
    resource: 'pods',
    verbs: ['get', 'list', 'watch', 'delete'],
    why: 'sweep fault and probe pods whose run is over',
  },
  { group: '', resource: 'namespaces', verbs: ['get'], why: "the cluster's identity" },
  {
    group: 'events.k8s.io',
    resource: 'events',
    verbs: ['create', 'patch'],
    why: 'Events of a run',
  },
]

/** Operator, in its own namespace. */
export const operatorOwnRights: readonly Permission[] = [
  { group: '', resource: 'pods', verbs: ['create'], why: 'recovery pods' },
  {
    group: '',
    resource: 'configmaps',
    names: [haltConfigMap],
    verbs: ['get', 'patch'],
    why: 'pull the kill switch on uninstall',
  },
  {
    group: 'coordination.k8s.io',
    resource: 'leases',
    verbs: ['get', 'list', 'watch', 'create', 'update', 'delete'],
    why: 'leader election; see which runners live, sweep the Leases of those that have gone',
  },
]

/** Runner, everywhere: its own bookkeeping; what is done to targets uses the experiment's account. */
export const runnerClusterRights: readonly Permission[] = [
  ...onExperiments(['get', 'list', 'watch', 'patch'], 'claim runs, hear aborts'),
  ...onExperiments(['patch'], 'state of the run', '/status'),
  {
    group: '',
    resource: 'serviceaccounts',
    verbs: ['get', 'impersonate'],
    why: "act with the rights of the experiment's account",
  },
  {
    group: 'authorization.k8s.io',
    resource: 'subjectaccessreviews',
    verbs: ['create'],
    why: 'may that account run a node-level fault here',
  },
  {
    group: '',
    resource: 'pods',
    verbs: ['get', 'list', 'watch', 'delete'],
    why: 'see what became of a target; end probe pods',
  },
  {
    group: '',
    resource: 'nodes',
    verbs: ['get', 'list'],
    why: 'whether the node of a target still exists; how many there are, for percentOfCluster',
  },
  { group: '', resource: 'configmaps', verbs: ['get'], why: 'probe registry' },
  {
    group: '',
    resource: 'namespaces',
    verbs: ['get', 'list', 'watch'],
    why: "the cluster's identity; which of them are protected",
  },
  {
    group: 'events.k8s.io',
    resource: 'events',
    verbs: ['create', 'patch'],
    why: 'Events of a run',
  },
]

/**
 * Runner, in its own namespace, where the fault pods run. Its own Deployment, which owns them, is read by the right on
 * all Deployments that putting replicas back needs.
 */
export const runnerOwnRights: readonly Permission[] = [
  {
    group: '',
    resource: 'pods',
    verbs: ['create', 'patch'],
    why: 'fault pods (seen and deleted by the right on all pods)',
  },
  { group: '', resource: 'pods/attach', verbs: ['get', 'create'], why: 'talk to fault pods' },
  { group: '', resource: 'configmaps', verbs: ['list', 'watch'], why: 'the kill switch' },
  {
    group: 'coordination.k8s.io',
    resource: 'leases',
    verbs: ['get', 'list', 'watch', 'create', 'patch', 'delete'],
    why: 'runners tell each other that they live',
  },
]

const reading = (group: string, resource: string): Permission => ({
  group,
  resource,
  verbs: ['get', 'list'],
  why: 'find targets by their workload',
})

/** Finds the targets of Deployments. */
const deploymentRights: readonly Permission[] = [
  reading('', 'pods'),
  reading('apps', 'deployments'),
  reading('apps', 'replicasets'),
]

/** What an experiment's account needs to find its targets, whatever the fault. */
export const selectionRights: readonly Permission[] = [
  ...deploymentRights,
  reading('', 'replicationcontrollers'),
  reading('apps', 'statefulsets'),
  reading('apps', 'daemonsets'),
  reading('batch', 'jobs'),
  reading('argoproj.io', 'rollouts'),
  reading('apps.openshift.io', 'deploymentconfigs'),
  { ...reading('', 'nodes'), why: 'find targets by NODE_LABEL (needs a ClusterRoleBinding)' },
]

/** What it needs in the experiment's own namespace when there are cmd probes. */
export const probeRights: readonly Permission[] = [
  { group: '', resource: 'pods', verbs: ['create'], why: 'pods of cmd probes' },
  { group: '', resource: 'pods/exec', verbs: ['get', 'create'], why: 'run cmd probes' },
]

/** One rule per group, resource and names, verbs united, in a stable order. */
export function unite(rights: readonly Permission[]): Permission[] {
  const byResource = new Map<string, Permission>()
  for (const right of rights) {
    refuseWildcards(right)
    const key = [`${right.group}/${right.resource}`, ...(right.names ?? [])].join(' ')
    const known = byResource.get(key)
    const reasons = new Set(known ? [...known.why.split('; '), ...right.why.split('; ')] : [])
    byResource.set(key, {
      ...right,
      verbs: [...new Set([...(known?.verbs ?? []), ...right.verbs])],
      why: known ? [...reasons].join('; ') : right.why,
    })
  }
  return [...byResource.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, right]) => right)
}

function refuseWildcards({ group, resource, verbs, names = [] }: Permission): void {
  if (
    [group, resource, ...verbs, ...names].some((part) => part.includes('*')) ||
    verbs.length === 0
  )
    throw new Error(
      `a right must name its group, resource and verbs, got ${group}/${resource} ${verbs}`,
    )
}

/** The `rules:` block of a Role, each rule with its reason. */
export function rulesYaml(rights: readonly Permission[]): string {
  const rules = unite(rights).flatMap(({ group, resource, verbs, why, names }) => [
    `  # ${why}`,
    `  - apiGroups: [${group || '""'}]`,
    `    resources: [${resource}]`,
    ...(names ? [`    resourceNames: [${names.join(', ')}]`] : []),
    `    verbs: [${verbs.join(', ')}]`,
  ])
  return ['rules:', ...rules].join('\n')
}

/** All generated parts of the chart, by the name in their mark. */
export function chartParts(faults: readonly FaultRights[]): Record<string, readonly Permission[]> {
  return {
    'operator, cluster': operatorClusterRights,
    'operator, own namespace': operatorOwnRights,
    'runner, cluster': [...runnerClusterRights, ...faults.flatMap((f) => f.restores ?? [])],
    'runner, own namespace': runnerOwnRights,
    experiment: [
      ...selectionRights,
      ...probeRights,
      ...faults.flatMap((fault) => fault.permissions),
    ],
  }
}

/** The template with every marked part replaced; an unknown or missing mark is an error. */
export function fillMarks(text: string, parts: Record<string, readonly Permission[]>): string {
  const filled = new Set<string>()
  const result = text.replace(
    /^# generated: (?!end$)(.+)\n[\s\S]*?^# generated: end$/gm,
    (_, name: string) => {
      const rights = parts[name]
      if (!rights) throw new Error(`no rights are known for the mark "${name}"`)
      filled.add(name)
      return `# generated: ${name}\n${rulesYaml(rights)}\n# generated: end`
    },
  )
  const missing = Object.keys(parts).filter((name) => !filled.has(name))
  if (missing.length > 0) throw new Error(`the chart has no mark for ${missing.join(', ')}`)
  return result
}

/** The page with the least Role per fault. */
export function rightsPage(faults: readonly FaultRights[]): string {
  const intro = [
    '# Rights',
    '',
    'Generated by `npm run generate`; edit the `permissions` of the fault instead.',
    '',
    "Faults act with the rights of the experiment's service account. The chart installs the ClusterRole",
    '`chaosplane-experiment`, which suffices for every fault; bind it in the namespaces of the targets:',
    '',
    '```sh',
    'kubectl -n demo create rolebinding chaosplane-experiment \\',
    '  --clusterrole=chaosplane-experiment --serviceaccount=NAMESPACE:ACCOUNT',
    '```',
    '',
    'The Roles below are the least for one fault on Deployments, without NODE_LABEL. Other workload kinds need `get` and `list` on that kind;',
    '`NODE_LABEL` needs `get` and `list` on nodes, through a ClusterRoleBinding. A cmd probe needs `create` on pods',
    "and `get` and `create` on pods/exec in the experiment's own namespace, a k8s probe `get` and `list` on what it looks at.",
  ]
  return `${[...intro, ...faults.flatMap(pageSection)].join('\n')}\n`
}

const selectionFor = ({ targets }: FaultRights): readonly Permission[] =>
  targets === 'nodes'
    ? [{ ...reading('', 'nodes'), why: 'find nodes by name or label' }]
    : deploymentRights

function pageSection(fault: FaultRights): string[] {
  return [
    '',
    `## ${fault.id}`,
    '',
    `${fault.title}. ${fault.hands === 'kube' ? 'Works through the API.' : 'Works in a fault pod on the node.'}`,
    ...(fault.targets === 'nodes'
      ? ['', 'Nodes are in no namespace: bind it by a ClusterRoleBinding.']
      : []),
    '',
    '```yaml',
    'apiVersion: rbac.authorization.k8s.io/v1',
    `kind: ${fault.targets === 'nodes' ? 'ClusterRole' : 'Role'}`,
    'metadata:',
    `  name: chaos-${fault.id}`,
    rulesYaml([...selectionFor(fault), ...fault.permissions]),
    '```',
  ]
}

/** Writes the marked parts of the chart and the page of rights; returns the files that changed. */
export async function writeRbac(
  faults: readonly FaultRights[] = Object.values(faultCatalogue),
  root: URL = new URL('../', import.meta.url),
): Promise<string[]> {
  const sorted = [...faults].sort((a, b) => (a.id < b.id ? -1 : 1))
  const template = new URL('config/chart/templates/rbac.yaml', root)
  const page = new URL('docs/rbac.md', root)
  const before = await readFile(template, 'utf8')
  const pageBefore = await readFile(page, 'utf8').catch(() => '')
  const files = [
    { file: template, before, after: fillMarks(before, chartParts(sorted)) },
    { file: page, before: pageBefore, after: rightsPage(sorted) },
  ].filter(({ before: old, after }) => old !== after)
  for (const { file, after } of files) await writeFile(file, after)
  return files.map(({ file }) => file.pathname)
}
