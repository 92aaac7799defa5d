import type * as z from 'zod'
import type { ErrorCode } from './errors.ts'
import type { WorkloadKind } from './plan.ts'

/** An RBAC rule that the fault needs of the experiment's account. */
export type Permission = {
  group: string
  resource: string
  verbs: readonly string[]
  why: string
  /** these objects alone */
  names?: readonly string[]
}

/** A problem in one tunable, told by the fault's reader; the compiler puts the path in front. */
export class BadTunable extends Error {
  readonly tunable: string
  readonly suggestion: string
  constructor(tunable: string, reason: string, suggestion: string) {
    super(reason)
    this.name = 'BadTunable'
    this.tunable = tunable
    this.suggestion = suggestion
  }
}

/** Environment of a task (Litmus dialect) or `action.parameters` (ChaosPlane dialect): set values only, all strings. */
export type Tunables = Readonly<Record<string, string>>

export type CommandsAt = {
  target: { kind: string; namespace: string; name: string }
  durationMs: number
}

/** Pods by labels of their own and of their namespaces; empty labels of namespaces: in the target's own. */
export type PeerSelector = { pods: string; namespaces: string }

/**
 * What a fault is, apart from doing it: pure, so that compilers, CRDs, RBAC and the catalogue are made from it.
 * `hands: kube` faults act through the API in the runner, `hands: node` faults in a fault pod.
 */
export type FaultDefinition<Params = Record<string, unknown>> = {
  /** canonical id, the folder's name */
  id: string
  title: string
  names: { litmus: readonly string[]; chaosplane: readonly string[] }
  hands: 'kube' | 'node'
  /** `instant`: struck again every interval while the duration lasts; `while-held`: injected once, held, reverted */
  lasts: 'instant' | 'while-held'
  /**
   * What one target is. `pods`; `containers` of pods; `workloads` themselves; `nodes`: those that are named or
   * labelled, else those that the selected pods run on.
   */
  targets: 'pods' | 'containers' | 'workloads' | 'nodes'
  /** What it does to a pod stays when a container of it is started again: a new life of that is no new target. */
  outlivesContainers?: true
  /** why targets that come later cannot be hit one by one; absent: they can */
  onlyStatic?: string
  /** kinds of workload that can be hit; absent: all. For `targets: workloads` */
  kinds?: readonly WorkloadKind[]
  defaults: { durationMs: number }
  params: z.ZodType<Params>
  /** pause between strikes, milliseconds, of an instant fault; null: one strike only */
  intervalMs?(params: Params, chance: () => number): number | null
  /** pause between the targets of one strike, milliseconds; null: SEQUENCE decides */
  pauseMs?(params: Params): number | null
  /** which of the matching pods are taken, and in which order; absent: by chance */
  order?(params: Params): 'random' | 'alphabetical' | 'reverse'
  /** whether pods have to leave the nodes that are hit. For `targets: nodes` */
  evicts?(params: Params): boolean
  /** how many pods the fault leaves of a workload. For `targets: workloads` */
  leaves?(params: Params): number
  /** what would be run for one target, and what puts it back, for a reader; absent: it depends on what is found there */
  commands?(params: Params, at: CommandsAt): { inject: string[]; undo: string[] }
  /**
   * pods whose addresses a fault on the node needs; null: none. They are found with the account's rights when its fault
   * pod is made, and are the parameter `addresses`, by the namespace of the target
   */
  peers?(params: Params): PeerSelector | null
  /** the tunables that this fault reads, beside the common ones; for the catalogue and for «did you mean» */
  tunables: readonly {
    name: string
    dialect: 'litmus' | 'chaosplane'
    default: string
    text: string
    /** without it the fault is refused */
    needed?: true
  }[]
  /** throws BadTunable. `written` is the fault name as the user wrote it */
  fromLitmus(tunables: Tunables, written: string): Params
  fromChaosplane(tunables: Tunables, written: string): Params
  permissions: readonly Permission[]
  /** RBAC rules that the runner itself needs to see and to put back what the fault did */
  restores?: readonly Permission[]
  /** capabilities of the fault pod, empty for API-level faults */
  capabilities: readonly string[]
  errorWhenNoEffect: ErrorCode
}

/** What every fault has in common that a fault pod holds in containers: it is as strong as exec into them. */
export const inContainers = {
  hands: 'node',
  lasts: 'while-held',
  targets: 'containers',
  permissions: [
    {
      group: '',
      resource: 'pods/exec',
      verbs: ['create'],
      why: 'the right to run something in the target: asked for before a fault pod is started, never used',
    },
  ],
  errorWhenNoEffect: 'EFFECT_NOT_SEEN',
} as const

/** Keeps the parameter type while the list of faults forgets it. */
export const defineFault = <Params>(fault: FaultDefinition<Params>): FaultDefinition<Params> =>
  fault

/** All faults by canonical id. */
export type FaultCatalogue = Readonly<Record<string, FaultDefinition>>
