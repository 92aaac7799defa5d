import type { KubeConfig } from '@kubernetes/client-node'
import { configOf, installRights } from '../../config/testing/account.ts'
import { systemClock, systemMonotonic } from '../../lib/clock.ts'
import { createKubeClient, type KubeClient } from '../../lib/kube/client.ts'
import { loadKubeConfig } from '../../lib/kube/config.ts'
import { createEventRecorder } from '../../lib/kube/events.ts'
import {
  apiVersionOf,
  chaosExperiments,
  events,
  leases,
  namespaces,
  resourcePath,
} from '../../lib/kube/paths.ts'
import { type KubeObject, microTime } from '../../lib/kube/types.ts'
import { silentLog } from '../../lib/log.ts'
import { runFinalizer } from '../../model/runner-life.ts'
import type { RunState } from '../../model/state.ts'
import type { Experiment } from '../experiment/observe.ts'
import { ExperimentOperator } from '../experiments.ts'
import { runOf } from './runs.ts'

/** An Event as it was told. */
export type Told = KubeObject & {
  reason: string
  type: string
  note: string
  regarding: { uid: string }
}

type Places = { kubeconfig: string; home: string; namespace: string; agent: string }

/** A real API server, an operator with the rights that the chart gives it, and what tests do as its runner. */
export class Stage {
  readonly call = { signal: AbortSignal.timeout(240_000) }
  readonly #places: Places
  readonly tests: KubeClient
  /** with the rights that the chart gives the operator, no others */
  readonly client: KubeClient
  readonly #own: KubeConfig
  operator: ExperimentOperator | undefined

  constructor(places: Places, tests: KubeClient, own: KubeConfig) {
    this.#places = places
    this.tests = tests
    this.#own = own
    this.client = createKubeClient({ config: own, userAgent: places.agent })
  }

  static async set(places: Places): Promise<Stage> {
    const { kubeconfig, home, namespace } = places
    const config = loadKubeConfig({ file: kubeconfig, env: {} })
    const tests = createKubeClient({ config, userAgent: 'tests/1' })
    const call = { signal: AbortSignal.timeout(60_000) }
    for (const name of [home, namespace])
      await tests.create(resourcePath(namespaces), { metadata: { name } }, call)
    await installRights(kubeconfig, home)
    const name = 'chaosplane-operator'
    const own = await configOf({ kubeconfig, admin: tests, namespace: home, name })
    return new Stage(places, tests, own)
  }

  async end(): Promise<void> {
    await this.operator?.stop()
    await Promise.all([this.tests.close(), this.client.close()])
  }

  /** The cluster as the operator's account sees it. */
  operatorsKubeconfig(): string {
    return this.#own.exportConfig()
  }

  async startOperator(): Promise<ExperimentOperator> {
    const { client } = this
    this.operator = new ExperimentOperator({
      client,
      config: this.#own,
      log: silentLog(),
      fieldManager: 'chaosplane-operator',
      namespace: this.#places.home,
      recorder: createEventRecorder({
        client,
        controller: 'chaosplane-controller',
        instance: 'test',
      }),
      clock: systemClock,
      monotonic: systemMonotonic,
      image: {
        image: 'chaosplane:test',
        imagePullPolicy: 'Never',
        imagePullSecrets: ['registry'],
        priorityClassName: null,
      },
      self: 'operator-0',
    })
    await this.operator.start()
    return this.operator
  }

  async stopOperator(): Promise<void> {
    await this.operator?.stop()
    this.operator = undefined
  }

  place(name: string, subresource?: string): string {
    const { namespace } = this.#places
    const more = subresource ? { subresource } : {}
    return resourcePath({ ...chaosExperiments, namespace, name, ...more })
  }

  get(name: string): Promise<Experiment> {
    return this.tests.get<Experiment>(this.place(name), this.call)
  }

  /** An experiment that runner `r` has claimed. */
  async createClaimed(name: string): Promise<Experiment> {
    const { namespace } = this.#places
    return await this.tests.create<Experiment>(
      resourcePath({ ...chaosExperiments, namespace }),
      {
        apiVersion: apiVersionOf(chaosExperiments),
        kind: 'ChaosExperiment',
        metadata: {
          name,
          finalizers: [runFinalizer],
          annotations: { 'chaos.chaosplane.io/claimed-by': 'r/1' },
        },
        spec: {
          target: { kind: 'Pod', namespace: 'demo', names: ['a'] },
          action: { type: 'pod-kill' },
          duration: '10s',
        },
      },
      this.call,
    )
  }

  /** Writes status.run as the runner does. */
  async asRunner(of: Experiment, change: Partial<RunState>): Promise<void> {
    const { namespace } = this.#places
    const body = {
      apiVersion: apiVersionOf(chaosExperiments),
      kind: 'ChaosExperiment',
      metadata: { name: of.metadata.name, namespace },
      status: { run: runOf(of, change) },
    }
    const by = { ...this.call, fieldManager: 'chaosplane-runner', force: true }
    await this.tests.apply(this.place(of.metadata.name, 'status'), body, by)
  }

  annotate(of: Experiment, annotations: Record<string, string | null>): Promise<unknown> {
    const path = this.place(of.metadata.name)
    return this.tests.mergePatch(path, { metadata: { annotations } }, this.call)
  }

  letGo(of: Experiment): Promise<unknown> {
    return this.tests.mergePatch(
      this.place(of.metadata.name),
      { metadata: { finalizers: [], annotations: { 'chaos.chaosplane.io/claimed-by': null } } },
      this.call,
    )
  }

  async until<T>(what: string, look: () => Promise<T | undefined | false>): Promise<T> {
    const limit = systemMonotonic() + 30_000
    for (;;) {
      const seen = await look()
      if (seen) return seen
      if (systemMonotonic() > limit) throw new Error(`never saw: ${what}`)
      await systemClock.sleep(30, this.call.signal)
    }
  }

  untilPhase(name: string, phase: string): Promise<Experiment> {
    return this.until(`${name} ${phase}`, async () => {
      const object = await this.get(name)
      return object.status?.phase === phase && object
    })
  }

  async toldAbout({ metadata }: Experiment): Promise<Told[]> {
    const { namespace } = this.#places
    const path = resourcePath({ ...events, namespace })
    const { items } = await this.tests.list<Told>(path, this.call)
    return items.filter(({ regarding }) => regarding.uid === metadata.uid)
  }

  async reasonsOf(of: Experiment): Promise<string[]> {
    return (await this.toldAbout(of)).map(({ reason }) => reason).sort()
  }

  /** The Lease by which runner `r` lives, kept alive until the signal. */
  async keepRunner(signal: AbortSignal): Promise<void> {
    const name = 'chaosplane-runner-r'
    const labels = { 'chaos.chaosplane.io/runner': 'true' }
    const path = resourcePath({ ...leases, namespace: this.#places.home, name })
    while (!signal.aborted) {
      const renewTime = microTime(systemClock.now())
      const spec = { holderIdentity: '1', leaseDurationSeconds: 5, renewTime }
      const body = {
        apiVersion: apiVersionOf(leases),
        kind: 'Lease',
        metadata: { name, labels },
        spec,
      }
      await this.tests.apply(path, body, { ...this.call, fieldManager: 'r', force: true })
      await systemClock.sleep(1_000, signal).catch(() => {})
    }
  }
}

export const conditionsOf = ({ status }: Experiment): Record<string, string> =>
  Object.fromEntries((status?.conditions ?? []).map((c) => [c.type, `${c.status} ${c.reason}`]))
