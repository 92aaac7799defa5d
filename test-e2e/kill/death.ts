import { setTimeout as delay } from 'node:timers/promises'
import type { Component } from '../cluster/cluster.ts'
import type { World } from '../stories/world.ts'
import type { Json } from '../watchers/api.ts'
import { podGroup, processesIn } from '../watchers/cgroups.ts'
import type { Victim } from './table.ts'

/** How long what can be away is away, milliseconds: longer than a hold that is under way has left. */
export const awayMs = 8000

/** What dies for all cases of a turn, and comes back. */
export class Death {
  readonly #world: World
  readonly #victims: readonly Victim[]
  /** worn: kubelet owes them a back-off */
  readonly #worn: Json[] = []

  private constructor(world: World, victims: readonly Victim[]) {
    this.#world = world
    this.#victims = victims
  }

  /** Looks who leads before anybody dies. */
  static async of(world: World, victims: readonly Victim[]): Promise<Death> {
    const death = new Death(world, victims)
    if (victims.includes('operator')) death.#worn.push(await leaderOf(world))
    if (victims.includes('runner')) death.#worn.push(...world.program('runner'))
    return death
  }

  /** In the order in which they can start: a kubelet without its containerd ends at once. */
  get components(): Component[] {
    const { nodes } = this.#world.cluster
    const onNodes = (program: 'containerd' | 'kubelet') =>
      this.#victims.includes(program) ? nodes.map((node): Component => `${program}:${node}`) : []
    const api: Component[] = this.#victims.includes('API server') ? ['kube-apiserver'] : []
    return [...api, ...onNodes('containerd'), ...onNodes('kubelet')]
  }

  async strike(): Promise<void> {
    if (this.#victims.includes('control plane'))
      this.#world.recorder.control({ mode: 'closed', forMs: awayMs })
    for (const pod of this.#worn)
      this.#world.kill(pod, `${pod.metadata.labels['app.kubernetes.io/component']}.cjs`)
    await Promise.all(this.components.map((component) => this.#world.cluster.kill(component)))
  }

  /** Brings back what does not come back by itself; gives the moment from which API and runner were both there. */
  async back(): Promise<number> {
    if (this.components.length > 0) await delay(awayMs)
    for (const component of this.components) await this.#world.cluster.start(component)
    const api = this.#victims.includes('API server') ? Date.now() : 0
    return Math.max(api, await this.#runnerBack())
  }

  async #runnerBack(): Promise<number> {
    if (!this.#victims.includes('runner')) return 0
    const end = Date.now() + 60_000
    while (Date.now() < end) {
      const runs = this.#worn
        .filter(({ metadata }) => metadata.labels['app.kubernetes.io/component'] === 'runner')
        .some((pod) => pidOf(this.#world, pod, 'runner.cjs') !== undefined)
      if (runs) return Date.now()
      await delay(20)
    }
    throw new Error('the runner did not come back within 60 s')
  }

  /**
   * New pods in the place of those that kubelet would make wait the next time, and kubelets that ask the API server at
   * once: one that has seen it die twice within two minutes waits for most of a minute, and the next turn with it.
   */
  async refresh(): Promise<void> {
    const { cluster } = this.#world
    if (this.#victims.includes('API server') && !this.#victims.includes('kubelet'))
      await Promise.all(cluster.nodes.map((node) => cluster.restart(`kubelet:${node}`)))
    if (this.#victims.includes('runner')) await this.#world.freshRunner()
    if (this.#victims.includes('operator')) await freshOperator(this.#world, this.#worn)
  }
}

export function pidOf(world: World, pod: Json, part: string): number | undefined {
  const group = podGroup(world.installed.nodes, pod.metadata.uid)
  const found = group ? processesIn(group).find(({ command }) => command.includes(part)) : undefined
  return found?.pid
}

async function leaderOf(world: World): Promise<Json> {
  const path = `/apis/coordination.k8s.io/v1/namespaces/${world.installed.namespace}/leases`
  const { items } = await world.api.get(path)
  const lease = items.find(({ metadata }: Json) => metadata.name.includes('operator'))
  const holder = lease.spec.holderIdentity
  const pod = world.program('operator').find(({ metadata }) => holder.includes(metadata.name))
  if (!pod) throw new Error(`no pod of the leader ${holder}`)
  return pod
}

async function freshOperator(world: World, worn: readonly Json[]): Promise<void> {
  const old = worn.filter((p) => p.metadata.labels['app.kubernetes.io/component'] === 'operator')
  for (const { metadata } of old)
    await world.api.remove(`/api/v1/namespaces/${metadata.namespace}/pods/${metadata.name}`)
  const gone = old.map(({ metadata }) => metadata.uid)
  await world.pods.until('two operators', 60_000, () => {
    const there = world
      .program('operator')
      .filter(
        ({ metadata, status }) =>
          !gone.includes(metadata.uid) &&
          status.conditions?.some((c: Json) => c.type === 'Ready' && c.status === 'True'),
      )
    return there.length === 2
  })
}
