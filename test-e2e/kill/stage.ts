import { rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { pauseImage } from '../cluster/basic-images.ts'
import { experiment } from '../stories/documents.ts'
import { taintsOf } from '../stories/nodes.ts'
import { World } from '../stories/world.ts'
import type { Follower, Json } from '../watchers/api.ts'
import { effectMs } from './judge.ts'
import { type Fault, faults, moments } from './table.ts'
import { type Watch, watchNetwork, watchObjects, watchProcesses } from './watches.ts'

/** Where programs in fault pods look for orders. */
export const nodeFolder = '/var/lib/chaosplane-crash'
const account = 'kill-keeper'
/** So many nodes carry the product and the targets; those beside them are there to be drained. */
export const ordinaryNodes = 2
/** Keeps everybody away from those but who is drained. */
export const drainedKey = 'kill-drained'
/** Was on the ordinary nodes before, and is nobody's business; it hardly keeps anybody away. */
export const foreignTaint = { key: 'kill-foreign', value: 'before', effect: 'PreferNoSchedule' }
/** The case of the fault that takes whole nodes comes after those of the moments. */
const drainedSlot = moments.length
const sides = ['a', 'b'] as const
const settleMs = 120_000

/** Targets for cases that run side by side, two for each, and what is needed to act on them. */
export class Stage {
  readonly world: World
  readonly nodes: Follower
  readonly deployments: Follower
  readonly policies: Follower
  #slots = 0

  private constructor(world: World) {
    this.world = world
    this.nodes = world.api.follow('/api/v1/nodes')
    this.deployments = world.api.follow('/apis/apps/v1/namespaces/demo/deployments')
    this.policies = world.api.follow('/apis/networking.k8s.io/v1/namespaces/demo/networkpolicies')
  }

  static async begin(slots: number): Promise<Stage> {
    const stage = new Stage(await World.begin())
    stage.#slots = slots
    const metadata = { name: account, namespace: 'v2' }
    const rbac = 'rbac.authorization.k8s.io'
    const items = [
      { apiVersion: 'v1', kind: 'ServiceAccount', metadata },
      {
        apiVersion: `${rbac}/v1`,
        kind: 'ClusterRoleBinding',
        metadata: { name: account },
        roleRef: { apiGroup: rbac, kind: 'ClusterRole', name: 'chaosplane-experiment' },
        subjects: [{ kind: 'ServiceAccount', ...metadata }],
      },
      ...stage.#apps().map((name) => stage.#deployment(name)),
    ]
    await stage.world.apply({ apiVersion: 'v1', kind: 'List', items })
    await Promise.all(stage.#apps().map((name) => stage.world.ready(name, 1, 120_000)))
    const { length } = stage.world.installed.nodes
    await stage.nodes.until('all nodes', 10_000, () => stage.nodes.objects.size === length)
    await stage.#taintOrdinary(true)
    return stage
  }

  async end(): Promise<void> {
    for (const name of this.#apps())
      await this.world.api.remove(`/apis/apps/v1/namespaces/demo/deployments/${name}`)
    await this.#taintOrdinary(false)
    for (const follower of [this.nodes, this.deployments, this.policies]) follower.close()
    rmSync(nodeFolder, { recursive: true, force: true })
    await this.world.end()
  }

  #nodeNow(name: string): Json {
    return [...this.nodes.objects.values()].find(({ metadata }) => metadata.name === name)
  }
  /** Gives the ordinary nodes the taint of others, or takes it off again. */
  async #taintOrdinary(there: boolean): Promise<void> {
    for (const name of this.nodeNames) await this.#taintOne(`/api/v1/nodes/${name}`, there)
    const isSo = (name: string) => {
      const taints: Json[] = this.#nodeNow(name)?.spec.taints ?? []
      return taints.some(({ key }) => key === foreignTaint.key) === there
    }
    await this.nodes.until('the taint of others', 10_000, () => this.nodeNames.every(isSo))
  }

  async #taintOne(path: string, there: boolean): Promise<void> {
    for (let tries = 1; ; tries++) {
      const { metadata, spec } = await this.world.api.get(path)
      const others = (spec.taints ?? []).filter(({ key }: Json) => key !== foreignTaint.key)
      const taints = there ? [...others, foreignTaint] : others
      const { resourceVersion } = metadata
      try {
        return void (await this.world.api.patch(path, {
          metadata: { resourceVersion },
          spec: { taints },
        }))
      } catch (error) {
        // somebody else has changed the node meanwhile, as kubelet does every few seconds
        if (tries > 10 || !/: 409 /.test(String(error))) throw error
      }
    }
  }

  #apps(): string[] {
    return Array.from({ length: this.#slots }, (_none, slot) => this.appsOf(slot)).flat()
  }
  appsOf(slot: number): string[] {
    return sides.map((side) => `kill-${slot}${side}`)
  }
  get nodeNames(): string[] {
    return this.world.installed.nodes.slice(0, ordinaryNodes)
  }
  get #drained(): string[] {
    return this.world.installed.nodes.slice(ordinaryNodes)
  }
  #homeOf(app: string): string | undefined {
    return this.#drained[this.appsOf(drainedSlot).indexOf(app)] ?? this.nodeNames[1]
  }
  #runFolder(): string {
    return dirname(this.world.installed.kubeconfig)
  }
  /** Where the runner looks for orders to end: in its own volume, which lies on this machine. */
  crashFolders(): string[] {
    const volume = 'volumes/kubernetes.io~empty-dir/spill'
    return this.world
      .program('runner')
      .map(({ metadata, spec }) =>
        join(this.#runFolder(), spec.nodeName, 'kubelet/pods', metadata.uid, volume, 'crash'),
      )
  }

  /** A program that does nothing, on the second node, where all of its kind are but those that are drained. */
  #deployment(name: string): Json {
    const labels = { app: name }
    return {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name, namespace: 'demo', labels },
      spec: {
        replicas: 1,
        selector: { matchLabels: labels },
        template: {
          metadata: { labels },
          spec: {
            nodeSelector: { 'kubernetes.io/hostname': this.#homeOf(name) },
            tolerations: [{ key: drainedKey, operator: 'Exists' }],
            automountServiceAccountToken: false,
            terminationGracePeriodSeconds: 1,
            containers: [
              {
                name: 'app',
                image: pauseImage,
                imagePullPolicy: 'Never',
                // without any, its share of a busy machine is so small that no effect is seen in time
                resources: { requests: { cpu: '20m' } },
              },
            ],
          },
        },
      },
    }
  }

  /** The experiment of one case. */
  document(
    name: string,
    { fault, slot, holdMs, env: more }: { fault: Fault; slot: number; holdMs: number; env: Json },
  ) {
    const seconds = holdMs / 1000
    const own: Record<Fault, Json> = {
      'pod-cpu-hog': { CPU_CORES: 1, CPU_LOAD: 10 },
      'pod-network-loss': {},
      'pod-network-partition': {},
      'pod-network-latency': {},
      'node-taint': {
        TAINTS: `kill-${slot}=on:PreferNoSchedule`,
        TARGET_NODES: this.nodeNames.join(','),
      },
      'node-drain': { TARGET_NODES: this.#drained.join(','), DRAIN_TIMEOUT: effectMs / 1000 },
      'pod-autoscaler': { REPLICA_COUNT: 2, STATUS_CHECK_TIMEOUT: effectMs / 1000 },
      'pod-network-policy': {},
      'pod-delete': { CHAOS_INTERVAL: seconds },
    }
    const isOnNodes = fault === 'node-taint' || fault === 'node-drain'
    const share = fault === 'pod-autoscaler' || isOnNodes ? {} : { POD_AFFECTED_PERCENTAGE: 100 }
    const env = { TOTAL_CHAOS_DURATION: seconds, ...share, ...own[fault], ...more }
    const aim = isOnNodes ? {} : { target: this.appsOf(slot).join(',') }
    return experiment(name, [{ name: 'kill', fault, ...aim, env }], { serviceAccountName: account })
  }

  /** Begins to watch the targets of a case; the key is the name by which the record knows a target. */
  async watch(fault: Fault, slot: number): Promise<Map<string, Watch>> {
    const apps = this.appsOf(slot)
    if (fault === 'node-taint')
      return new Map(this.nodeNames.map((name) => [name, this.#watchNode(name, slot)]))
    if (fault === 'node-drain')
      return new Map(this.#drained.map((name) => [name, this.#watchNode(name, slot)]))
    const podOf = (app: string) => this.#podOf(app)
    const list = await Promise.all(
      apps.map(async (app): Promise<[string, Watch]> => {
        if (fault === 'pod-autoscaler') return [app, this.#watchReplicas(app)]
        if (fault === 'pod-delete') return [podOf(app).metadata.name, this.#watchPods(app)]
        if (fault === 'pod-network-policy')
          return [podOf(app).metadata.name, this.#watchPolicies(app)]
        const pod = podOf(app)
        const watch = fault === 'pod-cpu-hog' ? watchProcesses : watchNetwork
        return [pod.metadata.name, await watch(this.nodeNames, pod)]
      }),
    )
    return new Map(list)
  }

  #podOf(app: string): Json {
    const [pod, ...more] = this.world.podsOf(app).filter((p) => !p.metadata.deletionTimestamp)
    if (!pod || more.length > 0) throw new Error(`${app} has ${more.length + (pod ? 1 : 0)} pods`)
    return pod
  }

  #watchNode(name: string, slot: number): Watch {
    const isOwn = (taint: string) => taint.startsWith(`kill-${slot}=`)
    // those of other slots come and go meanwhile
    const isMeant = (taint: string) => isOwn(taint) || !/^kill-\d+=/.test(taint)
    return watchObjects(this.nodes, ({ metadata }) => metadata.name === name, {
      image: ([node]) =>
        [
          `cordoned: ${node?.spec.unschedulable ?? false}`,
          ...(node ? taintsOf(node).filter(isMeant).sort() : []),
        ].join('\n'),
      own: ([node]) => (node ? taintsOf(node).filter(isOwn).length : 0),
    })
  }
  #watchReplicas(app: string): Watch {
    return watchObjects(this.deployments, ({ metadata }) => metadata.name === app, {
      image: ([deployment]) => {
        const { metadata, spec } = deployment ?? { metadata: {}, spec: {} }
        const { replicas, ...rest } = spec
        return [
          `replicas: ${replicas}`,
          JSON.stringify(rest),
          JSON.stringify([metadata.labels, metadata.annotations]),
        ].join('\n')
      },
      // a number of replicas does not tell how often it was set
      own: () => 0,
    })
  }
  #watchPolicies(app: string): Watch {
    const isOurs = ({ spec }: Json) => spec.podSelector.matchLabels?.app === app
    return watchObjects(this.policies, isOurs, {
      image: (all) => JSON.stringify(all.map(({ spec }) => spec)),
      own: (all) => all.length,
    })
  }
  #watchPods(app: string): Watch {
    const isOurs = ({ metadata }: Json) => metadata.labels?.app === app
    const ready = ({ status }: Json) =>
      status.conditions?.some((c: Json) => c.type === 'Ready' && c.status === 'True')
    return watchObjects(this.world.pods, isOurs, {
      image: (all) => String(all.filter((p) => ready(p) && !p.metadata.deletionTimestamp).length),
      own: () => 0,
    })
  }

  /** Pods of a case that were taken away since then. */
  struck(slot: number, since: number): number {
    const apps = this.appsOf(slot)
    const gone = this.world.pods.history.filter(
      ({ at, type, object }) =>
        at >= since && type === 'DELETED' && apps.includes(object.metadata.labels?.app),
    )
    return new Set(gone.map(({ object }) => object.metadata.uid)).size
  }

  /**
   * As many ready pods as there must be, and no others on their way out. These are the cluster's own to bring back: its
   * controllers and kubelets wait up to half a minute between their tries once the API server was away.
   */
  async settled(slots: number[]): Promise<void> {
    const apps = slots.flatMap((slot) => this.appsOf(slot))
    await this.world.pods.until('one ready pod of each target', settleMs, () =>
      apps.every((app) => this.world.podsOf(app).length === 1),
    )
    await Promise.all(apps.map((app) => this.world.ready(app, 1, settleMs)))
  }
}

export const isOnNode = (fault: Fault): boolean => faults[fault] === 'node'
