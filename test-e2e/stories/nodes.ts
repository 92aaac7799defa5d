import { endOfAudit, readAudit } from '../cluster/audit.ts'
import type { Follower, Json } from '../watchers/api.ts'
import { experiment } from './documents.ts'
import { setValues } from './release.ts'
import { World } from './world.ts'

/** May act on everything, everywhere. */
export const keeper = 'node-keeper'
/** What these stories taint with; the product tolerates it, so that no story evicts what carries it out. */
export const key = 'story'
export const taint = (value: string): string => `${key}=${value}:NoExecute`
/** An effect ends within this after what ends it, milliseconds: the promise. */
export const soonMs = 5000

/** An experiment that acts as the account that may act on nodes. */
export const document = (
  name: string,
  tasks: Parameters<typeof experiment>[1],
  spec: Json = {},
): ReturnType<typeof experiment> => experiment(name, tasks, { serviceAccountName: keeper, ...spec })

/** Taints that the cluster itself does not manage. */
export const taintsOf = ({ spec }: Json): string[] =>
  (spec.taints ?? [])
    .filter((t: Json) => !t.key.startsWith('node.kubernetes.io/'))
    .map((t: Json) => `${t.key}=${t.value ?? ''}:${t.effect}`)

/** The world, and the two nodes of it. */
export class Nodes {
  readonly world: World
  readonly nodes: Follower
  readonly deployments: Follower
  /** where the stories' own pods run; the runner is on the other one */
  away = ''
  home = ''

  private constructor(world: World) {
    this.world = world
    this.nodes = world.api.follow('/api/v1/nodes')
    this.deployments = world.api.follow('/apis/apps/v1/namespaces/demo/deployments')
  }

  static async begin(): Promise<Nodes> {
    const on = new Nodes(await World.begin())
    await setValues(on.world, 'tolerations[0].key=story', 'tolerations[0].operator=Exists')
    await on.makeAccount(keeper, true)
    await on.makeAccount('node-looker', false)
    await on.nodes.until('two nodes', 10_000, () => on.nodes.objects.size === 2)
    const [runner] = on.world.program('runner')
    on.home = runner.spec.nodeName
    const names = [...on.nodes.objects.values()].map((node) => node.metadata.name)
    on.away = names.find((name) => name !== on.home) ?? ''
    await on.world.target('lodger', 2, { nodeSelector: { 'kubernetes.io/hostname': on.away } })
    return on
  }

  async end(): Promise<void> {
    this.nodes.close()
    this.deployments.close()
    await this.world.end()
  }

  /** What is left on the nodes, and of slots. */
  async residue(): Promise<string[]> {
    const nodes = [...this.nodes.objects.values()].flatMap((node) => [
      ...taintsOf(node),
      ...(node.spec.unschedulable ? [`${node.metadata.name} is cordoned`] : []),
    ])
    return [...nodes, ...(await this.slots())]
  }

  /** Nodes are in no namespace: the account has its rights everywhere. */
  async makeAccount(name: string, mayWrite: boolean): Promise<void> {
    const metadata = { name, namespace: 'v2' }
    const rbac = 'rbac.authorization.k8s.io'
    const rules = [{ apiGroups: [''], resources: ['nodes', 'pods'], verbs: ['get', 'list'] }]
    const role = mayWrite ? 'chaosplane-experiment' : 'story-looker'
    const items = [
      { apiVersion: 'v1', kind: 'ServiceAccount', metadata },
      {
        apiVersion: `${rbac}/v1`,
        kind: 'ClusterRole',
        metadata: { name: 'story-looker' },
        rules,
      },
      {
        apiVersion: `${rbac}/v1`,
        kind: 'ClusterRoleBinding',
        metadata: { name: `story-${name}` },
        roleRef: { apiGroup: rbac, kind: 'ClusterRole', name: role },
        subjects: [{ kind: 'ServiceAccount', ...metadata }],
      },
    ]
    await this.world.apply({ apiVersion: 'v1', kind: 'List', items })
  }

  node(name: string): Json {
    return this.nodes.objects.get(`undefined/${name}`)
  }
  podsOn(app: string, name: string): Json[] {
    return this.world.podsOf(app).filter((pod) => pod.spec.nodeName === name)
  }
  patch(name: string, spec: Json): Promise<Json> {
    return this.world.api.patch(`/api/v1/nodes/${name}`, { spec })
  }

  /** When the node was first seen to be as `look` says, and since when it is no more; unix milliseconds. */
  spanOf(name: string, since: number, look: (node: Json) => boolean) {
    const seen = this.nodes.history.filter(
      ({ object, at }) => object.metadata.name === name && at >= since,
    )
    const first = seen.find(({ object }) => look(object))
    const last = seen.findLast(({ object }) => look(object))
    const after = last && seen.find((s) => s.at >= last.at && s !== last && !look(s.object))
    return { from: first?.at ?? 0, to: after?.at ?? 0 }
  }

  async slots(): Promise<string[]> {
    const { api, installed } = this.world
    const path = `/apis/coordination.k8s.io/v1/namespaces/${installed.namespace}/leases`
    const { items } = await api.get(`${path}?labelSelector=chaos.chaosplane.io/slot=true`)
    return items.map((lease: Json) => lease.metadata.annotations['chaos.chaosplane.io/what'])
  }

  /** Where the audit log ends now. */
  async audited(): Promise<number> {
    return endOfAudit(this.world.installed.auditLog)
  }

  /** As whom the product has written to nodes since then, as the audit log has it. */
  async writersOfNodes(since: number): Promise<string[]> {
    const events = await readAudit(this.world.installed.auditLog, since)
    return events
      .filter((e) => ['patch', 'create', 'delete', 'update'].includes(e.verb))
      .filter((e) => e.userAgent?.includes('chaosplane') && !e.requestURI.includes('dryRun'))
      .filter((e) => e.objectRef?.resource === 'nodes' && (e.responseStatus?.code ?? 0) < 300)
      .map((e) => e.impersonatedUser?.username ?? e.user.username)
  }
}
