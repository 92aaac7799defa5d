import { leases, nodes, pods, resourcePath } from '../../lib/kube/paths.ts'
import type { KubeObject } from '../../lib/kube/types.ts'
import { runnerLeaseLabel } from '../../model/runner-life.ts'
import type { Stage } from './stage.ts'

type Taint = { key: string; value?: string; effect?: string }
type Node = KubeObject & { spec?: { taints?: Taint[] } }
type PodParts = { labels?: Record<string, string>; status?: object }

/** What stands in a cluster without kubelets and controllers: pods, nodes and Leases, as a test says. */
export class BareCluster {
  readonly #stage: Stage

  constructor(stage: Stage) {
    this.#stage = stage
  }

  async makePod(
    namespace: string,
    name: string,
    { labels = {}, status }: PodParts = {},
  ): Promise<void> {
    const { tests, call } = this.#stage
    const containers = [{ name: 'app', image: 'none' }]
    const spec = { nodeName: 'n1', automountServiceAccountToken: false, containers }
    const path = resourcePath({ ...pods, namespace })
    await tests.create(path, { metadata: { name, labels }, spec }, call)
    if (status) await tests.mergePatch(`${path}/${name}/status`, { status }, call)
  }

  /** As a runner leaves it. */
  async makeLease(namespace: string, name: string): Promise<void> {
    const { tests, call } = this.#stage
    const metadata = { name, labels: { [runnerLeaseLabel]: 'true' } }
    const spec = { holderIdentity: '', leaseDurationSeconds: 5 }
    await tests.create(resourcePath({ ...leases, namespace }), { metadata, spec }, call)
  }

  /** The runner `r` has died: its pod has failed, its Lease is as it left it. */
  async makeDeadRunner(namespace: string): Promise<void> {
    const labels = {
      'app.kubernetes.io/name': 'chaosplane',
      'app.kubernetes.io/component': 'runner',
    }
    await this.makePod(namespace, 'r', { labels, status: { phase: 'Failed' } })
    await this.makeLease(namespace, 'chaosplane-runner-r')
  }

  async makeNode(name: string, taints: Taint[] = []): Promise<Node> {
    const { tests, call } = this.#stage
    return await tests.create<Node>(
      resourcePath(nodes),
      { metadata: { name }, spec: { taints } },
      call,
    )
  }

  async addTaint(name: string, taint: Taint): Promise<void> {
    const { tests, call } = this.#stage
    const path = resourcePath({ ...nodes, name })
    const taints = [...(await this.#taintsOf(name)), taint]
    await tests.mergePatch(path, { spec: { taints } }, call)
  }

  /** Without those that the API server itself gives a new node. */
  async taints(name: string): Promise<string[]> {
    const own = (await this.#taintsOf(name)).filter(
      ({ key }) => !key.startsWith('node.kubernetes.io/'),
    )
    return own.map(({ key, value }) => `${key}=${value}`)
  }

  async #taintsOf(name: string): Promise<Taint[]> {
    const { tests, call } = this.#stage
    const node = await tests.get<Node>(resourcePath({ ...nodes, name }), call)
    return node.spec?.taints ?? []
  }

  async isGone(path: string): Promise<boolean> {
    const { tests, call } = this.#stage
    return (await tests.find(path, call)) === undefined
  }
}
