import type { KubeConfig } from '@kubernetes/client-node'
import {
  createSteadyClock,
  type SteadyClock,
  systemClock,
  systemMonotonic,
  systemRandom,
} from '../lib/clock.ts'
import { attach } from '../lib/kube/attach.ts'
import { createKubeClient, type KubeClient } from '../lib/kube/client.ts'
import { createEventRecorder } from '../lib/kube/events.ts'
import {
  configMaps,
  deployments,
  leases,
  namespaces,
  pods,
  resourcePath,
} from '../lib/kube/paths.ts'
import { createReflector, type Reflector } from '../lib/kube/reflector.ts'
import { type Cache, withoutManagedFields } from '../lib/kube/store.ts'
import type { KubeObject } from '../lib/kube/types.ts'
import type { Log } from '../lib/log.ts'
import { faultPod, type OwnerReference } from '../model/fault-pod-spec.ts'
import { haltConfigMap } from '../model/halt.ts'
import type { TaskPlan } from '../model/plan.ts'
import { protectedLabel } from '../model/protection.ts'
import { programPodSelector, runnerLeaseLabel } from '../model/runner-life.ts'
import { asksForItsOwn } from '../model/warm-pod.ts'
import { faultCatalogue } from './faults/catalogue.generated.ts'
import type { Attach } from './hands/node-parts.ts'
import type { Pod } from './hands/pod-cache.ts'
import { WarmPods } from './hands/warm-pods.ts'
import { createReporting } from './peers.ts'
import { execAs } from './probes/command/exec.ts'
import { createCommandPods } from './probes/command/pods.ts'
import { createHttpSampler } from './probes/http/send.ts'
import type { ProbeIo } from './probes/probe-io.ts'
import { atLast } from './run/at-last.ts'
import { Census } from './run/census.ts'
import type { Identity } from './run/claim.ts'
import { clusterSizeIn } from './run/cluster-size.ts'
import type { ProbePlace, RunnerContext } from './run/context.ts'
import { beat, freshMs, type RunnerLease } from './run/heartbeat.ts'
import { killSwitchIn } from './run/kill-switch.ts'
import { Ledger } from './run/ledger.ts'
import { protectionIn } from './run/protection.ts'
import { Pulse } from './run/pulse.ts'
import { type Experiment, type Kind, kinds } from './run/resource.ts'
import { userOf } from './run/rights.ts'
import { Supervisor } from './run/supervisor.ts'
import type { RunnerSettings } from './settings.ts'

export type ProgramParts = {
  settings: RunnerSettings
  config: KubeConfig
  log: Log
  /** a new id of this life and of runs */
  newId(): string
  /** told when work begins, for /readyz */
  onReady(): void
}

/** Reports that cannot be delivered before the end are kept on disk; this long is tried, milliseconds. */
const farewellMs = 5000

/** The runner: follows both kinds and carries their runs until the signal comes. */
export async function runRunner(parts: ProgramParts, signal: AbortSignal): Promise<void> {
  const { settings, config, log } = parts
  const clock = createSteadyClock()
  const kube = createKubeClient({ config, userAgent: 'chaosplane-runner/0.1.0' })
  const me: Identity = { pod: settings.pod, instance: parts.newId() }
  const reporting = createReporting(settings.harness, {
    clock,
    random: systemRandom,
    log,
    spillDir: settings.spillDir,
  })
  const stopWatching = new AbortController()
  const watching = stopWatching.signal
  const following = follow({ kube, settings, log }, watching)
  const { podCache, programs, leaseCache, harness, followed, running } = following
  const http = createHttpSampler(() => clock.now())
  const pulse = new Pulse(systemMonotonic, freshMs)
  const heart = {
    ...{ me, namespace: settings.namespace, log, pulse },
    ...{ clock: systemClock, monotonic: systemMonotonic },
  }
  const beating = beat(kube, heart, watching)
  const [cluster, owner] = await Promise.all([
    atLast(() => clusterId(kube, signal), { log, clock }, signal),
    atLast(() => ownerOf(kube, settings, signal), { log, clock }, signal),
    leaseCache.synced(signal),
    // Who cannot see whether the kill switch is pulled does not begin.
    harness.synced(signal),
    following.labelled.synced(signal),
    // A fault pod that is not seen yet looks like one that is lost: another one would cut its fault short.
    podCache.synced(signal),
    programs.synced(signal),
    ...followed.map(({ cache }) => cache.synced(signal)),
  ])
  const warm = new WarmPods({
    ...podsFrom(settings, owner),
    kube,
    // compared with what the API server has stamped
    clock: systemClock,
    log,
    cache: podCache,
    namespace: settings.namespace,
    mode: settings.warm,
    newSuffix: () => parts.newId().slice(0, 8),
  })
  const world: World = {
    parts,
    warm,
    watching,
    kube,
    clock,
    podCache,
    following,
    cluster,
    owner,
    http: http.sample,
    me,
    pulse,
  }
  const tending = warm.tend(watching).catch(() => {})
  const context = contextOf(world, reporting)
  const census = new Census({
    ...{ leases: leaseCache, pods: programs, me },
    monotonic: systemMonotonic,
  })
  const supervisor = new Supervisor(context, census, followed)
  log.info({ pod: me.pod, instance: me.instance }, 'the runner works')
  parts.onReady()
  try {
    await supervisor.run(signal)
  } finally {
    stopWatching.abort(new Error('the runner ends'))
    await Promise.all([beating, running, tending])
    await reporting.stop(AbortSignal.timeout(farewellMs))
    await http.close()
    await kube.close()
  }
}

type Followers = {
  podCache: Cache<Pod>
  /** pods of runners and operators */
  programs: Cache<Pod>
  leaseCache: Cache<RunnerLease>
  /** the ConfigMap that carries the kill switch */
  harness: Cache<KubeObject>
  /** namespaces with the label that protects them */
  labelled: Cache<KubeObject>
  followed: { kind: Kind; cache: Cache<Experiment> }[]
  running: Promise<unknown>
}

function follow(
  { kube, settings, log }: { kube: KubeClient; settings: RunnerSettings; log: Log },
  signal: AbortSignal,
): Followers {
  const reflect = <T extends KubeObject>(
    path: string,
    query: Record<string, string>,
  ): Reflector<T> =>
    createReflector<T>({
      client: kube,
      path,
      query,
      onError: (error, waitMs) => log.warn({ err: error, path, waitMs }, 'a watch broke'),
    })
  const { namespace } = settings
  const podReflector = reflect<Pod>(resourcePath({ ...pods, namespace }), {
    labelSelector: 'chaos.chaosplane.io/part=fault-pod',
  })
  const programReflector = reflect<Pod>(resourcePath({ ...pods, namespace }), {
    labelSelector: programPodSelector,
  })
  const leaseReflector = reflect<RunnerLease>(resourcePath({ ...leases, namespace }), {
    labelSelector: `${runnerLeaseLabel}=true`,
  })
  const harnessReflector = reflect<KubeObject>(resourcePath({ ...configMaps, namespace }), {
    fieldSelector: `metadata.name=${haltConfigMap}`,
  })
  const experiments = (Object.keys(kinds) as Kind[]).map((kind) => ({
    kind,
    reflector: createReflector<Experiment>({
      client: kube,
      path: resourcePath(kinds[kind]),
      // Finished resources stay in the cluster by the thousand: only what decides is kept of them.
      transform: lean,
      onError: (error, waitMs) => log.warn({ err: error, kind, waitMs }, 'a watch broke'),
    }),
  }))
  const labelledReflector = reflect<KubeObject>(resourcePath(namespaces), {
    labelSelector: `${protectedLabel},${protectedLabel}!=false`,
  })
  const all = [
    labelledReflector,
    podReflector,
    programReflector,
    leaseReflector,
    harnessReflector,
    ...experiments.map((e) => e.reflector),
  ]
  return {
    podCache: podReflector.store,
    programs: programReflector.store,
    leaseCache: leaseReflector.store,
    harness: harnessReflector.store,
    labelled: labelledReflector.store,
    followed: experiments.map(({ kind, reflector }) => ({ kind, cache: reflector.store })),
    running: Promise.all(all.map((r) => r.run(signal))),
  }
}

/** A finished run without a finalizer keeps its ids, nothing else. */
function lean(object: Experiment): Experiment {
  const slim = withoutManagedFields(object)
  const run = slim.status?.run as { finishedAt?: number } | undefined
  const annotations = { ...slim.metadata.annotations }
  // A second copy of the whole document, which nobody here reads.
  delete annotations['kubectl.kubernetes.io/last-applied-configuration']
  const metadata = { ...slim.metadata, annotations }
  const status = run === undefined ? {} : { run }
  const over = run?.finishedAt !== undefined && (slim.metadata.finalizers ?? []).length === 0
  if (!over) return { ...slim, metadata, status }
  const id = slim.spec?.['experimentRunId']
  return {
    ...slim,
    metadata,
    spec: id === undefined ? {} : { experimentRunId: id },
    status: { run: { ...run, tasks: [] } },
  }
}

async function clusterId(kube: KubeClient, signal: AbortSignal): Promise<string> {
  const path = resourcePath({ ...namespaces, name: 'kube-system' })
  return (await kube.get<KubeObject>(path, { signal, deadlineMs: 120_000 })).metadata.uid
}

async function ownerOf(
  kube: KubeClient,
  { namespace, deployment }: RunnerSettings,
  signal: AbortSignal,
): Promise<OwnerReference | null> {
  if (!deployment) return null
  const path = resourcePath({ ...deployments, namespace, name: deployment })
  const found = await kube.find<KubeObject>(path, { signal, deadlineMs: 120_000 })
  if (!found) return null
  return { apiVersion: 'apps/v1', kind: 'Deployment', name: deployment, uid: found.metadata.uid }
}

type World = {
  parts: ProgramParts
  warm: WarmPods
  /** ends with the runner */
  watching: AbortSignal
  kube: KubeClient
  clock: SteadyClock
  podCache: Cache<Pod>
  following: Followers
  cluster: string
  owner: OwnerReference | null
  http: ProbeIo['http']
  me: Identity
  pulse: Pulse
}

function contextOf(world: World, reporting: ReturnType<typeof createReporting>): RunnerContext {
  const { parts, kube, clock, podCache, cluster, me, pulse } = world
  const { settings, log } = parts
  const { namespace, harness } = settings
  const { following } = world
  const ledger = new Ledger(following.followed.map(({ cache }) => cache))
  return {
    me,
    pulse,
    killSwitch: killSwitchIn(following.harness, namespace),
    ledger,
    protection: protectionIn({
      ...{ settings: settings.protection, namespace, ledger },
      clusterSize: clusterSizeIn({ kube, clock }),
      ...following,
    }),
    namespace,
    defaultAccount: settings.defaultAccount,
    kube,
    events: createEventRecorder({
      client: kube,
      controller: 'chaos.chaosplane.io/runner',
      instance: settings.pod,
      onError: (err, { reason, note }) =>
        log.warn({ err, reason, note }, 'an Event could not be written'),
    }),
    clock,
    log,
    cluster,
    faults: faultCatalogue,
    sessions: { kube, cache: podCache, attach: attachWith(parts.config), clock, log, namespace },
    pods: podMaker(world),
    warm: warmDoor(world),
    probeIo: (place) => probeIoOf(world, place),
    peers: {
      reporter: reporting.reporter,
      logs: reporting.logs,
      infraId: harness.infraId,
      scope: harness.scope,
      self: { PodName: settings.pod, PodNamespace: namespace },
    },
    kserver: reporting.kserver,
    random: systemRandom,
    newId: parts.newId,
  }
}

const attachWith =
  (config: KubeConfig): Attach =>
  async (place, signal) => {
    const session = await attach(config, { ...place, signal })
    return {
      lines: session.lines,
      send: async (line) => session.send(line),
      close: () => session.close(),
    }
  }

const pullPolicyOf = (policy: string): 'Always' | 'IfNotPresent' | 'Never' =>
  policy === 'Always' || policy === 'Never' ? policy : 'IfNotPresent'

/** What all our pods on nodes have in common. */
const podsFrom = (settings: RunnerSettings, owner: OwnerReference | null) => ({
  image: settings.image,
  imagePullPolicy: pullPolicyOf(settings.imagePullPolicy),
  imagePullSecrets: settings.imagePullSecrets,
  owner,
  priorityClassName: settings.priorityClass || null,
})

const capabilitiesOf = ({ fault }: TaskPlan): readonly string[] =>
  faultCatalogue[fault]?.capabilities ?? []

const podMaker =
  ({ parts: { settings }, owner }: World): RunnerContext['pods'] =>
  (task) =>
  (order, name, { reserve }) =>
    faultPod({
      ...podsFrom(settings, owner),
      name,
      namespace: settings.namespace,
      order,
      capabilities: capabilitiesOf(task),
      settings: task.pods,
      reserve,
    })

const warmDoor =
  ({ warm, watching, parts: { settings } }: World): RunnerContext['warm'] =>
  (task) =>
    settings.warm === 'none' || asksForItsOwn(task.pods)
      ? null
      : {
          claim: (order, signal) => warm.claim(order, capabilitiesOf(task), signal),
          replace: (node) => warm.leave(node, capabilitiesOf(task), watching),
        }

/** Probe pods end by themselves after this, whatever became of the runner. */
const probePodLifeSeconds = 24 * 3600

function probeIoOf({ parts, kube, clock, http }: World, place: ProbePlace): ProbeIo {
  const { settings, config } = parts
  const as = userOf(place.account)
  const { kind, name, uid, apiVersion } = place.resource
  const commands = createCommandPods({
    kube,
    exec: execAs(config, as),
    clock,
    as,
    settings: {
      image: settings.image,
      imagePullPolicy: settings.imagePullPolicy,
      imagePullSecrets: settings.imagePullSecrets,
      namespace: place.namespace,
      name: `${place.task}-${place.runId}`.slice(0, 50),
      labels: {
        'chaos.chaosplane.io/part': 'probe-pod',
        'chaos.chaosplane.io/run': place.runId.slice(0, 63),
        'chaos.chaosplane.io/resource-uid': uid,
      },
      owner: { apiVersion, kind, name, uid },
      lifeSeconds: probePodLifeSeconds,
      pods: place.pods,
    },
  })
  return { http, kube, as, commands, clock }
}
