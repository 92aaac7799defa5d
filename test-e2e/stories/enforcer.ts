import { enforcerArchive, enforcerImage } from '../cluster/enforcer.ts'
import { until } from '../cluster/processes.ts'
import { run } from '../cluster/shell.ts'
import { say } from '../setup/installed-cluster.ts'
import type { World } from './world.ts'

const name = 'kube-network-policies'
const namespace = 'kube-system'
/** where the kernel hands packets to the enforcer */
const queue = 98
const withinMs = 120_000

// Its own rules are nftables', with an expression that not every kernel has (nft_queue); these hand over the same
// packets, the first of each connection but those of the node's own root, which kubelet is.
const rules = [
  '-m conntrack --ctstate ESTABLISHED,RELATED -j RETURN',
  '-m owner --uid-owner 0 -j RETURN',
  `-p tcp -j NFQUEUE --queue-num ${queue}`,
  `-p udp -j NFQUEUE --queue-num ${queue}`,
]
const chain = 'STORY-POLICIES'

/** Enforces NetworkPolicies on the nodes that are namespaces, as a CNI that can do it does, from when this resolves. */
export async function startEnforcer(world: World): Promise<void> {
  await world.cluster.importImage(await enforcerArchive(say), enforcerImage)
  await world.apply({ apiVersion: 'v1', kind: 'List', items: documents() })
  for (const node of world.installed.nodes) {
    // What nobody listens to is dropped.
    await until(`packets are judged on ${node}`, withinMs, () => listens(node))
    await mangle(node, `-N ${chain}`)
    for (const rule of rules) await mangle(node, `-A ${chain} ${rule}`)
    await mangle(node, `-A POSTROUTING -j ${chain}`)
  }
}

/** Ends it, however far it has come. */
export async function endEnforcer({ api, installed }: World): Promise<void> {
  for (const node of installed.nodes)
    for (const step of [`-D POSTROUTING -j ${chain}`, `-F ${chain}`, `-X ${chain}`])
      await mangle(node, step).catch((e: unknown) => say(String(e)))
  await api.remove(`/apis/apps/v1/namespaces/${namespace}/daemonsets/${name}`)
  for (const node of installed.nodes)
    await until(`no packets are judged on ${node}`, withinMs, async () => !(await listens(node)))
}

const inside = (node: string, ...command: string[]): Promise<string> =>
  run('nsenter', [`--net=/run/netns/${node}`, '--', ...command])

const mangle = (node: string, rule: string): Promise<string> =>
  inside(node, 'iptables', '-w', '-t', 'mangle', ...rule.split(' '))

/** Whether the enforcer listens to what the kernel of a node hands over. */
async function listens(node: string): Promise<boolean> {
  const queues = await inside(node, 'cat', '/proc/net/netfilter/nfnetlink_queue')
  return new RegExp(`^ *${queue} `, 'm').test(queues)
}

const metadata = { name, namespace }
const labels = { app: name }
const rbac = 'rbac.authorization.k8s.io'

/** As in the enforcer's own install.yaml, with no more than it needs here. */
function documents(): object[] {
  const watched = [
    { apiGroups: [''], resources: ['pods', 'namespaces'] },
    { apiGroups: ['networking.k8s.io'], resources: ['networkpolicies'] },
  ]
  const rights = watched.map((what) => ({ ...what, verbs: ['list', 'watch'] }))
  const container = {
    name: 'enforcer',
    image: enforcerImage,
    imagePullPolicy: 'Never',
    args: ['--hostname-override=$(NODE)', `--nfqueue-id=${queue}`],
    env: [{ name: 'NODE', valueFrom: { fieldRef: { fieldPath: 'spec.nodeName' } } }],
    securityContext: { capabilities: { add: ['NET_ADMIN'] } },
  }
  const spec = {
    hostNetwork: true,
    serviceAccountName: name,
    containers: [container],
  }
  return [
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata },
    { apiVersion: `${rbac}/v1`, kind: 'ClusterRole', metadata: { name }, rules: rights },
    {
      apiVersion: `${rbac}/v1`,
      kind: 'ClusterRoleBinding',
      metadata: { name },
      roleRef: { apiGroup: rbac, kind: 'ClusterRole', name },
      subjects: [{ kind: 'ServiceAccount', ...metadata }],
    },
    {
      apiVersion: 'apps/v1',
      kind: 'DaemonSet',
      metadata,
      spec: { selector: { matchLabels: labels }, template: { metadata: { labels }, spec } },
    },
  ]
}
