import type { Clock } from '../lib/clock.ts'
import { trigger } from '../lib/kube/controller.ts'
import type { EventRecorder } from '../lib/kube/events.ts'
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
import { keyOf } from '../lib/kube/types.ts'
import { faultPodLabels } from '../model/fault-pod-spec.ts'
import type { Plan } from '../model/plan.ts'
import { ChaosOperator, type OperatorSettings } from './dot-i.ts'
import { createExperimentPass, type ExperimentPass } from './experiment/act.ts'
import { type Experiment, slim } from './experiment/observe.ts'
import { RunnerCensus, type RunnerLease, runnerLeaseSelector } from './runners.ts'
import { byUid, createSweep } from './sweep/act.ts'
import type { SweptPod } from './sweep/decide.ts'

/** What the operator of experiments needs beside its connection. */
export type ExperimentOperatorSettings = OperatorSettings & {
  /** namespace of the product */
  namespace: string
  recorder: EventRecorder
  clock: Clock
  monotonic: () => number
}

const kinds: readonly { dialect: Plan['dialect']; kind: ResourceKind }[] = [
  { dialect: 'KubernetesChaosExperiment', kind: kubernetesChaosExperiments },
  { dialect: 'ChaosExperiment', kind: chaosExperiments },
]

/** Writes what came of experiments of both kinds, says what is stuck, and sweeps pods that nobody needs. */
export class ExperimentOperator extends ChaosOperator {
  readonly #settings: ExperimentOperatorSettings
  readonly #passes: ExperimentPass[] = []

  constructor(settings: ExperimentOperatorSettings) {
    super(settings)
    this.#settings = settings
  }

  protected override async init(): Promise<void> {
    const { namespace, monotonic } = this.#settings
    const runners = this.follow<RunnerLease>({
      path: resourcePath({ ...leases, namespace }),
      query: { labelSelector: runnerLeaseSelector },
    })
    const census = new RunnerCensus(runners, monotonic)
    const followed = kinds.map(({ dialect, kind }) => {
      const cache = this.follow<Experiment>({
        path: resourcePath(kind),
        transform: slim,
        indexers: { [byUid]: ({ metadata }) => [metadata.uid] },
      })
      this.#controlExperiments({ dialect, kind, cache }, census)
      return { kind, cache }
    })
    this.#controlPods(followed)
  }

  /** One term of leading: what earlier terms remember may be out of date. */
  override async work(signal: AbortSignal): Promise<void> {
    for (const pass of this.#passes) pass.reset()
    await super.work(signal)
  }

  #controlExperiments(of: Kind, census: RunnerCensus): void {
    const { namespace, recorder, clock } = this.#settings
    const experiments = createExperimentPass({
      client: this.client,
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

  #controlPods(experiments: readonly { kind: ResourceKind; cache: Cache<Experiment> }[]): void {
    const cache = this.follow<SweptPod>({
      path: resourcePath(pods),
      query: { labelSelector: faultPodLabels.run },
      transform: bare,
      indexers: { [byUid]: ({ metadata }) => [metadata.labels?.[faultPodLabels.uid] ?? ''] },
    })
    const ofExperiment = ({ metadata }: Experiment) =>
      cache.byIndex(byUid, metadata.uid).map((pod) => ({ key: keyOf(pod) }))
    this.control({
      name: 'pods',
      triggers: [
        trigger(cache, ({ object }) => [{ key: keyOf(object) }]),
        ...experiments.map((e) => trigger(e.cache, ({ object }) => ofExperiment(object))),
      ],
      reconcile: createSweep({
        client: this.client,
        pods: cache,
        experiments,
        log: this.log,
        now: this.#settings.clock.now,
      }),
    })
  }
}

type Kind = { dialect: Plan['dialect']; kind: ResourceKind; cache: Cache<Experiment> }

/** Aborts and ends go before the news of those that run. */
const urgency = ({ metadata, status }: Experiment) =>
  metadata.deletionTimestamp || status?.run?.abort || status?.run?.finishedAt
    ? priorities.urgent
    : priorities.normal

/** All that sweeping reads of a pod. */
function bare({ metadata, status }: SweptPod): SweptPod {
  const { name, uid, resourceVersion, labels = {} } = metadata
  return {
    metadata: {
      name,
      uid,
      resourceVersion,
      labels,
      ...(metadata.namespace ? { namespace: metadata.namespace } : {}),
      ...(metadata.creationTimestamp ? { creationTimestamp: metadata.creationTimestamp } : {}),
      ...(metadata.deletionTimestamp ? { deletionTimestamp: metadata.deletionTimestamp } : {}),
    },
    status: status?.phase ? { phase: status.phase } : {},
  }
}
