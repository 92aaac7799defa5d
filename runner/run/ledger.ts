import type { Cache } from '../../lib/kube/store.ts'
import { isEnded, type RunState, type TargetState } from '../../model/state.ts'
import type { Experiment } from './resource.ts'

/** Targets that are chosen and not done with. */
export const openTargetsOf = ({ tasks }: RunState): TargetState[] =>
  tasks.flatMap(({ targets }) => targets.filter((t) => !isEnded(t)))

/**
 * Who holds which targets at the moment: exactly for the runs of this runner, and for those of others as their
 * resources say it, a watch's delay later.
 */
export class Ledger {
  readonly #caches: readonly Cache<Experiment>[]
  readonly #own = new Map<string, () => RunState>()

  constructor(caches: readonly Cache<Experiment>[]) {
    this.#caches = caches
  }

  /** Counts a run of this runner, until the function that is returned is called. */
  enter(uid: string, state: () => RunState): () => void {
    this.#own.set(uid, state)
    return () => {
      if (this.#own.get(uid) === state) this.#own.delete(uid)
    }
  }

  /** Open targets of all experiments but this one. */
  othersThan(uid: string): TargetState[] {
    const own = [...this.#own].filter(([of]) => of !== uid).map(([, state]) => state())
    const seen = this.#caches
      .flatMap((cache) => cache.list())
      .filter(({ metadata }) => metadata.uid !== uid && !this.#own.has(metadata.uid))
      .flatMap(({ status }) => (isUnderWay(status?.run) ? [status.run] : []))
    return [...own, ...seen].flatMap(openTargetsOf)
  }
}

/** A record of the product's own writing, seen through the API server's schema. */
const isUnderWay = (run: unknown): run is RunState =>
  typeof run === 'object' &&
  run !== null &&
  (run as RunState).finishedAt === undefined &&
  Array.isArray((run as RunState).tasks)
