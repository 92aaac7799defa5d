import type { Cache } from '../lib/kube/store.ts'
import type { KubeObject } from '../lib/kube/types.ts'
import type { PodLife } from '../model/pod-life.ts'
import { runnerLeaseName } from '../model/runner-life.ts'
import type { RunnerLife } from './experiment/observe.ts'

/** The Lease by which a runner says that it lives; its holder is one life of that runner. */
export type RunnerLease = KubeObject & {
  spec?: { holderIdentity?: string; leaseDurationSeconds?: number }
}

/** A pod of a runner, as kubelet speaks of it. */
export type RunnerPod = KubeObject & PodLife

/** Name of the pod in a claim or a lease, `<pod>/<instance>`. */
export const podOf = (holder: string): string => holder.split('/')[0] ?? ''

const usualSeconds = 5

/** Knows which runners live, by when their Leases last moved as seen here: no two clocks are compared. */
export class RunnerCensus {
  readonly #cache: Cache<RunnerLease>
  readonly #monotonic: () => number
  readonly #moved = new Map<string, { version: string; at: number }>()
  /** since when all Leases are seen */
  #since: number | null = null

  constructor(cache: Cache<RunnerLease>, monotonic: () => number) {
    this.#cache = cache
    this.#monotonic = monotonic
    cache.onChange(({ type, object }) => {
      // the moment of a deletion counts as the last sign of life, and is kept until the pod's name is dropped
      this.#note(object, type === 'deleted')
    })
    for (const lease of cache.list()) this.#note(lease, false)
  }

  /** `holder` as it stands in the claim: `<pod>/<instance>`. */
  lifeOf(holder: string, namespace: string): RunnerLife {
    // Nobody is taken for dead who could not be seen.
    if (!this.#cache.hasSynced()) return { alive: true, goneForMs: 0 }
    const slash = holder.indexOf('/')
    const pod = slash < 0 ? holder : holder.slice(0, slash)
    const instance = holder.slice(slash + 1)
    const name = runnerLeaseName(pod)
    const lease = this.#cache.get(`${namespace}/${name}`)
    const silentMs = this.silentMs(name)
    const limitMs = (lease?.spec?.leaseDurationSeconds ?? usualSeconds) * 1000
    const isHis = lease?.spec?.holderIdentity === instance
    if (isHis && silentMs <= limitMs) return { alive: true, goneForMs: 0 }
    return { alive: false, goneForMs: isHis ? silentMs - limitMs : silentMs }
  }

  /** How long a Lease has not moved, milliseconds. */
  silentMs(lease: string): number {
    const now = this.#monotonic()
    if (this.#cache.hasSynced()) this.#since ??= now
    return now - (this.#moved.get(lease)?.at ?? this.#since ?? now)
  }

  #note({ metadata }: RunnerLease, deleted: boolean): void {
    const { name, resourceVersion } = metadata
    const version = deleted ? `${resourceVersion} deleted` : resourceVersion
    if (this.#moved.get(name)?.version === version) return
    this.#moved.set(name, { version, at: this.#monotonic() })
    if (this.#moved.size <= maxNamed) return
    const [oldest] = this.#moved.keys()
    if (oldest !== undefined && oldest !== name) this.#moved.delete(oldest)
  }
}

/** Pods of runners come and go over the months; that many names are remembered. */
const maxNamed = 1_000
