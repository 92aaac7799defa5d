import type { KubeClient } from '../../lib/kube/client.ts'
import type { TargetState } from '../../model/state.ts'

/** A target of an API-level fault. */
export type KubeTarget = Pick<TargetState, 'id' | 'kind' | 'namespace' | 'name' | 'uid'>

/** How the effect was seen, and the version of the object from which it can be followed. */
export type Struck = { evidence: string; since?: string }

export type KubeFaultIo = {
  kube: KubeClient
  /** the user to act as, for example `system:serviceaccount:v2:litmus` */
  as: string
  signal: AbortSignal
}

/**
 * The part of an API-level fault that acts. `strike` uses the rights of the experiment's account, `settled` and
 * everything that puts things back use the product's own.
 */
export type KubeFault<Params = Record<string, unknown>> = {
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
