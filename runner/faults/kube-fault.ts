import type { KubeClient } from '../../lib/kube/client.ts'
import type { TargetOutcome, TargetState } from '../../model/state.ts'

/** A target of an API-level fault. */
export type KubeTarget = Pick<TargetState, 'id' | 'kind' | 'namespace' | 'name' | 'uid'>

/** `gone`: the target itself is no longer there, so that nothing will come of waiting */
export type Seen = { evidence: string } | { missing: string; gone?: true }

/** How the effect was seen, and the version of the object from which it can be followed. */
export type Struck = { evidence: string; since?: string }

/** Reads and writes with the rights of the experiment's account. */
export type KubeFaultIo = {
  kube: KubeClient
  /** the user to act as, for example `system:serviceaccount:v2:litmus` */
  as: string
  signal: AbortSignal
}

/** Reads and writes with the product's own rights: putting back does not depend on an account that may be gone. */
export type OwnIo = { kube: KubeClient; signal: AbortSignal }

/** A fault that strikes and is over: what it did is not undone, but seen to be complete. */
export type InstantFault<Params = Record<string, unknown>> = {
  lasts: 'instant'
  id: string
  /** hits one target, idempotent for the same target */
  strike(target: KubeTarget, params: Params, io: KubeFaultIo): Promise<Struck>
  /** whether an earlier call, whose answer nobody heard, has hit the target: how that was seen; null: it was not touched */
  struck(target: KubeTarget, io: Omit<KubeFaultIo, 'as'>): Promise<string | null>
  /** waits until the effect is complete; resolves with the proof */
  settled(target: KubeTarget, params: Params, io: KubeFaultIo & { since?: string }): Promise<string>
  /** how long `settled` may take, milliseconds */
  settleMs(params: Params): number
}

/** What was read after a revert. `left`: what is not as before, with the commands that a human would run. */
export type Restored =
  | { outcome: TargetOutcome; proof: string }
  | { left: string; remaining: string[] }

/**
 * One write of a fault: a request that is under way when the signal comes is waited for, and one that found no API
 * server is sent again until then. Longer than a control plane takes to be replaced, milliseconds.
 */
export const writeMs = 25_000

/**
 * A fault that is injected, held and put back. `Undo` is JSON; it stands in the resource's status before anything
 * is done, and is all that the later calls get: whoever carries the run on puts back what another one did.
 */
export type HeldFault<Params = Record<string, unknown>, Undo = Record<string, unknown>> = {
  lasts: 'while-held'
  id: string
  /**
   * What only one experiment at a time may hold of the target, in words for who is refused: `cordon`, `replicas`,
   * `taint a:NoSchedule`. Empty: any number of them compose.
   */
  slots(target: KubeTarget, params: Params): string[]
  /** reads (and dry runs) only; throws ChaosError when there is nothing to act with or the target cannot be hit */
  plan(target: KubeTarget, asked: Asked<Params>, io: KubeFaultIo): Promise<Undo>
  /** idempotent: what has been done already is not done again. Ends when the signal says so, with what was begun known to the server */
  inject(target: KubeTarget, undo: Undo, io: KubeFaultIo): Promise<void>
  /** the effect in words, or what is missing (still). Own rights */
  verify(target: KubeTarget, undo: Undo, io: OwnIo): Promise<Seen>
  /** whether what was injected is still in effect: a look while it is held, and before it is put back. Own rights */
  holds(target: KubeTarget, undo: Undo, io: OwnIo): Promise<boolean>
  /** how long injection and verification may take together, milliseconds */
  injectMs(params: Params): number
  /** three-way: what is still as we made it becomes what it was; what somebody else changed stays. Idempotent; also for what was never injected */
  revert(target: KubeTarget, undo: Undo, io: OwnIo): Promise<void>
  /** reads again */
  proof(target: KubeTarget, undo: Undo, io: OwnIo): Promise<Restored>
}

/**
 * `mark`: unique for this injection, a label's value; by it what was made is known as ours. `among`: the targets that
 * are hit together with this one, itself included.
 */
export type Asked<Params> = {
  params: Params
  durationMs: number
  mark: string
  among: readonly KubeTarget[]
}

export type KubeFault<Params = Record<string, unknown>> =
  | InstantFault<Params>
  | HeldFault<Params, never>

/** Keeps the types of parameters and undo record while the registry forgets them. */
export const defineHeldFault = <Params, Undo>(
  fault: HeldFault<Params, Undo>,
): HeldFault<Params, never> => fault as unknown as HeldFault<Params, never>
