import type { Clock } from '../lib/clock.ts'
import type { KubeClient } from '../lib/kube/client.ts'
import { trigger } from '../lib/kube/controller.ts'
import type { EventRecorder } from '../lib/kube/events.ts'
import { fenced } from '../lib/kube/fenced.ts'
import {
  chaosExperiments,
  kubernetesChaosExperiments,
  leases,
  pods,
  type ResourceKind,
  resourcePath,
} from '../lib/kube/paths.ts'
import { priorities } from '../lib/kube/queue.ts'
import type { Cache } from '../lib/kube/store.ts'
import { type KubeObject, keyOf } from '../lib/kube/types.ts'
import type { ContainerStatus } from '../model/fault-pod-recovery.ts'
import { faultPodLabels } from '../model/fault-pod-spec.ts'
import type { Plan } from '../model/plan.ts'
import { runsNothing } from '../model/pod-life.ts'
import {
  claimAnnotation,
  runnerLeaseLabel,
  runnerLeaseName,
  runnerPodSelector,
} from '../model/runner-life.ts'
import { ChaosOperator, type OperatorSettings } from './dot-i.ts'
import { createExperimentPass } from './experiment/act.ts'
import { type Experiment, type RunnerLife, slim } from './experiment/observe.ts'
import { Figures, metricsText } from './metrics.ts'
import { createAbandonPass, isToBeLeft } from './recovery/abandon.ts'
import { createRecoveryPass, type RecoveryImage } from './recovery/act.ts'
import type { RecoveryPod } from './recovery/decide.ts'
import { podOf, RunnerCensus, type RunnerLease, type RunnerPod } from './runners.ts'
import { byUid, createSweep } from './sweep/act.ts'
import { createLeaseSweep } from './sweep/leases.ts'

/** What the operator of experiments needs beside its connection. */
export type ExperimentOperatorSettings = OperatorSettings & {
  /** namespace of the product */
  namespace: string
  recorder: EventRecorder
  clock: Clock
  monotonic: () => number
  /** what recovery pods are made from */
  image: RecoveryImage
  /** pod of this replica */
  self: string
}

const kinds: readonly { dialect: Plan['dialect']; kind: ResourceKind }[] = [
  { dialect: 'KubernetesChaosExperiment', kind: kubernetesChaosExperiments },
  { dialect: 'ChaosExperiment', kind: chaosExperiments },
]

/** Writes what came of experiments of both kinds, says what is stuck, and sweeps pods that nobody needs. */
export class ExperimentOperator extends ChaosOperator {
  readonly #settings: ExperimentOperatorSettings
  /** what they remember holds for one term of leading */
  readonly #passes: { reset(): void }[] = []
  readonly #figures = new Figures()
  readonly #kinds: Kind[] = []
  /** false as soon as another replica may lead */
  #mayWrite = () => true
  /** every write of a pass goes through it */
  readonly #fenced: KubeClient

  constructor(settings: ExperimentOperatorSettings) {
    super(settings)
    this.#settings = settings
    this.#fenced = fenced(settings.client, () => this.#mayWrite())
  }

  protected override async init(): Promise<void> {
    const { namespace, monotonic } = this.#settings
    const runners = this.follow<RunnerLease>({
      path: resourcePath({ ...leases, namespace }),
      query: { labelSelector: runnerLeaseLabel },
    })
    const census = new RunnerCensus(runners, monotonic)
    const podCache = this.#followPods()
    const runnerPods = this.follow<RunnerPod>({
      path: resourcePath({ ...pods, namespace }),
      query: { labelSelector: runnerPodSelector },
      transform: ({ metadata, status }) => ({
        metadata: bareMeta(metadata),
        ...(status ? { status } : {}),
      }),
    })
    // A runner that does not run cannot act, however fresh its Lease looks.
    const lifeOf = (holder: string): RunnerLife => {
      const pod = runnerPods.get(`${namespace}/${podOf(holder)}`)
      const life = census.lifeOf(holder, namespace)
      return pod && runsNothing(pod) ? { ...life, alive: false } : life
    }
    const followed = kinds.map(({ dialect, kind }) => {
      const cache = this.follow<Experiment>({
        path: resourcePath(kind),
        transform: slim,
        indexers: { [byUid]: ({ metadata }) => [metadata.uid] },
      })
      this.#controlExperiments({ dialect, kind, cache }, census)
      this.#controlRecovery(
        { dialect, kind, cache },
        { census, lifeOf, runnerPods, pods: podCache },
      )
      return { dialect, kind, cache }
    })
    this.#kinds.push(...followed)
    this.#controlPods(podCache, followed)
    this.#controlLeases(runners, { census, runnerPods })
  }

  /** All metrics, as Prometheus reads them. */
  metrics(): string {
    const experiments = this.#kinds.flatMap(({ cache }) => cache.list())
    return metricsText(this.#figures, experiments)
  }

  /** One term of leading: what earlier terms remember may be out of date. Nothing is written but while it `holds`. */
  override async work(signal: AbortSignal, holds: () => boolean = () => true): Promise<void> {
    this.#mayWrite = holds
    for (const pass of this.#passes) pass.reset()
    this.#figures.leading = true
    try {
      await super.work(signal)
    } finally {
      this.#figures.leading = false
    }
  }

  #controlExperiments(of: Kind, census: RunnerCensus): void {
    const { namespace, recorder, clock } = this.#settings
    const experiments = createExperimentPass({
      client: this.#fenced,
      kind: of.kind,
      dialect: of.dialect,
      cache: of.cache,
      recorder,
      lifeOf: (holder) => census.lifeOf(holder, namespace),
      now: clock.now,
    })
    this.#passes.push(experiments)
    this.control({
      name: of.kind.plural,
      triggers: [
        trigger(of.cache, ({ object }) => [{ key: keyOf(object), priority: urgency(object) }]),
      ],
      reconcile: (key, signal) => experiments.pass(key, signal),
      workers: 8,
    })
  }

  #followPods(): Cache<RecoveryPod> {
    const cache = this.follow<RecoveryPod>({
      path: resourcePath(pods),
      query: { labelSelector: faultPodLabels.run },
      transform: bare,
      indexers: { [byUid]: ({ metadata }) => [metadata.labels?.[faultPodLabels.uid] ?? ''] },
    })
    cache.onChange(({ type, object }) => {
      const isNew = type === 'added' && cache.hasSynced() && this.#figures.leading
      if (isNew && Number(object.metadata.labels?.[faultPodLabels.attempt]) > 1)
        this.#figures.made(object.metadata.name)
    })
    return cache
  }

  /** Nodes on which something of a run is open and no program is at work get one. */
  #controlRecovery(of: Kind, seen: Sight): void {
    const { namespace, recorder, monotonic, image } = this.#settings
    const recovery = createRecoveryPass({
      client: this.#fenced,
      dialect: of.dialect,
      namespace,
      experiments: of.cache,
      podsOf: (uid) => seen.pods.byIndex(byUid, uid),
      lifeOf: seen.lifeOf,
      recorder,
      log: this.log,
      monotonic,
      image,
      onMade: (name) => this.#figures.making(name),
    })
    this.#passes.push(recovery)
    this.#controlAbandon(of, seen.census)
    const ofPod = ({ metadata }: RecoveryPod) =>
      of.cache
        .byIndex(byUid, metadata.labels?.[faultPodLabels.uid] ?? '')
        .map((object) => ({ key: keyOf(object), priority: priorities.urgent }))
    const ofRunner = (pod: RunnerPod) =>
      runsNothing(pod)
        ? of.cache
            .list()
            .filter(({ metadata }) => podOf(holderOf(metadata)) === pod.metadata.name)
            .map((object) => ({ key: keyOf(object), priority: priorities.urgent }))
        : []
    this.control({
      name: `recovery of ${of.kind.plural}`,
      triggers: [
        trigger(of.cache, ({ object }) => [{ key: keyOf(object), priority: urgency(object) }]),
        trigger(seen.pods, ({ object }) => ofPod(object)),
        trigger(seen.runnerPods, ({ object }) => ofRunner(object)),
      ],
      reconcile: (key, signal) => recovery.pass(key, signal),
      workers: 4,
    })
  }

  /** The way out when no runner carries a run to its end. */
  #controlAbandon({ kind, dialect, cache }: Kind, census: RunnerCensus): void {
    const { namespace, recorder, clock, self } = this.#settings
    this.control({
      name: `given up ${kind.plural}`,
      triggers: [
        trigger(cache, ({ object }) => (isToBeLeft(object) ? [{ key: keyOf(object) }] : [])),
      ],
      reconcile: createAbandonPass({
        client: this.#fenced,
        kind,
        dialect,
        namespace,
        experiments: cache,
        lifeOf: (holder) => census.lifeOf(holder, namespace),
        recorder,
        log: this.log,
        now: clock.now,
        self,
      }),
      workers: 2,
    })
  }

  #controlLeases(cache: Cache<RunnerLease>, { census, runnerPods }: LeaseSight): void {
    const { namespace } = this.#settings
    const leaseOf = ({ metadata }: RunnerPod) => `${namespace}/${runnerLeaseName(metadata.name)}`
    this.control({
      name: 'leases of runners',
      triggers: [
        trigger(cache, ({ object }) => [{ key: keyOf(object) }]),
        trigger(runnerPods, ({ type, object }) =>
          type === 'deleted' ? [{ key: leaseOf(object) }] : [],
        ),
      ],
      reconcile: createLeaseSweep({
        client: this.#fenced,
        leases: cache,
        hasPod: (lease) =>
          runnerPods.list().some(({ metadata }) => runnerLeaseName(metadata.name) === lease),
        silentMs: (lease) => census.silentMs(lease),
        log: this.log,
      }),
    })
  }

  #controlPods(cache: Cache<RecoveryPod>, experiments: readonly Kind[]): void {
    const ofExperiment = ({ metadata }: Experiment) =>
      cache.byIndex(byUid, metadata.uid).map((pod) => ({ key: keyOf(pod) }))
    this.control({
      name: 'pods',
      triggers: [
        trigger(cache, ({ object }) => [{ key: keyOf(object) }]),
        ...experiments.map((e) => trigger(e.cache, ({ object }) => ofExperiment(object))),
      ],
      reconcile: createSweep({
        client: this.#fenced,
        pods: cache,
        experiments,
        log: this.log,
        now: this.#settings.clock.now,
      }),
    })
  }
}

type Kind = { dialect: Plan['dialect']; kind: ResourceKind; cache: Cache<Experiment> }

const holderOf = ({ annotations }: KubeObject['metadata']): string =>
  annotations?.[claimAnnotation] ?? ''

type LeaseSight = Pick<Sight, 'census' | 'runnerPods'>

type Sight = {
  census: RunnerCensus
  lifeOf(holder: string): RunnerLife
  runnerPods: Cache<RunnerPod>
  pods: Cache<RecoveryPod>
}

/** Aborts and ends go before the news of those that run. */
const urgency = ({ metadata, status }: Experiment) =>
  metadata.deletionTimestamp || status?.run?.abort || status?.run?.finishedAt
    ? priorities.urgent
    : priorities.normal

/** All that sweeping and recovering read of a pod. */
function bare({ metadata, status = {} }: RecoveryPod): RecoveryPod {
  return {
    metadata: bareMeta(metadata),
    status: {
      ...(status.phase ? { phase: status.phase } : {}),
      ...(status.reason ? { reason: status.reason } : {}),
      ...(status.containerStatuses
        ? { containerStatuses: status.containerStatuses.map(lean) }
        : {}),
    },
  }
}

const bareMeta = (metadata: KubeObject['metadata']): KubeObject['metadata'] => ({
  name: metadata.name,
  uid: metadata.uid,
  resourceVersion: metadata.resourceVersion,
  labels: metadata.labels ?? {},
  ...(metadata.namespace ? { namespace: metadata.namespace } : {}),
  ...(metadata.creationTimestamp ? { creationTimestamp: metadata.creationTimestamp } : {}),
  ...(metadata.deletionTimestamp ? { deletionTimestamp: metadata.deletionTimestamp } : {}),
})

const lean = ({ name, restartCount, state, lastState }: ContainerStatus): ContainerStatus => ({
  name,
  restartCount,
  ...(state ? { state } : {}),
  ...(lastState ? { lastState } : {}),
})
