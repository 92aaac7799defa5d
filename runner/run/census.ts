import type { Cache } from '../../lib/kube/store.ts'
import { runsNothing } from '../../model/pod-life.ts'
import { runnerLeaseName } from '../../model/runner-life.ts'
import type { Pod } from '../hands/pod-cache.ts'
import type { Identity } from './claim.ts'
import { deadAfterMs, freshMs, type RunnerLease } from './heartbeat.ts'

/** So often this runner's own lease must have come by since another's was seen last: else the API is away for both. */
const ownBeats = 3

type Seen = { version: string; at: number; beats: number }
export type CensusParts = {
  leases: Cache<RunnerLease>
  /** pods of runners */
  pods: Cache<Pod>
  me: Identity
  /** a step of the wall clock makes nobody dead and keeps nobody alive */
  monotonic(): number
}

/**
 * Tells living runners from dead ones: at once when the container does not run or the lease names another life; when the
 * pod is gone, as soon as the runner would not act without asking (its node may be cut off, and the process live on);
 * else by the silence of its lease as seen here, so that no two clocks are compared.
 */
export class Census {
  readonly #parts: CensusParts
  readonly #leases = new Map<string, Seen>()
  /** pods whose container does not run, by name: since when, as seen here */
  readonly #down = new Map<string, number>()
  readonly #since: number
  #beats = 0

  constructor(parts: CensusParts) {
    this.#parts = parts
    this.#since = parts.monotonic()
    for (const lease of parts.leases.list()) this.#noteLease(lease)
    for (const pod of parts.pods.list()) this.#notePod(pod, runsNothing(pod))
    parts.leases.onChange(({ object }) => this.#noteLease(object))
    parts.pods.onChange(({ object }) => this.#notePod(object, runsNothing(object)))
  }

  #noteLease({ metadata: { name, resourceVersion: version } }: RunnerLease): void {
    if (this.#leases.get(name)?.version === version) return
    if (name === runnerLeaseName(this.#parts.me.pod)) this.#beats++
    this.#leases.set(name, { version, at: this.#parts.monotonic(), beats: this.#beats })
  }

  #notePod({ metadata: { name } }: Pod, down: boolean): void {
    if (!down) this.#down.delete(name)
    else if (!this.#down.has(name)) this.#down.set(name, this.#parts.monotonic())
    // Pods come and go over the months; those of long ago hold no run any more.
    if (this.#down.size > maxNamed) this.#down.delete([...this.#down.keys()][0] ?? '')
  }

  /** `unknown`: too early to say */
  look(who: Identity, namespace: string): 'alive' | 'dead' | 'unknown' {
    const { me } = this.#parts
    // An earlier life in this very pod: its end needs no sign from anywhere.
    if (who.pod === me.pod) return who.instance === me.instance ? 'alive' : 'dead'
    const name = runnerLeaseName(who.pod)
    const lease = this.#parts.leases.get(`${namespace}/${name}`)
    if (lease && lease.spec?.holderIdentity !== who.instance) return 'dead'
    const seen = this.#leases.get(name) ?? { version: '', at: this.#since, beats: 0 }
    if (this.#hasEnded(who, namespace, seen)) return 'dead'
    const silentMs = this.#parts.monotonic() - seen.at
    if (silentMs > deadAfterMs && this.#beats - seen.beats >= ownBeats) return 'dead'
    return lease ? 'alive' : 'unknown'
  }

  /** A lease that moved later is of a life that the pod's status does not show yet. */
  #hasEnded({ pod }: Identity, namespace: string, seen: Seen): boolean {
    const down = this.#down.get(pod)
    if (down !== undefined && seen.at <= down) return true
    if (this.#parts.pods.get(`${namespace}/${pod}`) || seen.version === '') return false
    return this.#parts.monotonic() - seen.at > freshMs
  }
}

const maxNamed = 1000
