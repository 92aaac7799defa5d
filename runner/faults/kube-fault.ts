import type { KubeClient } from '../../lib/kube/client.ts'

/** A target of an API-level fault. */
export type KubeTarget = { id: string; namespace: string; pod: string; podUid: string }

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
  /** hits one target, idempotent for the same target; resolves with how the effect was seen */
  strike(target: KubeTarget, params: Params, io: KubeFaultIo): Promise<string>
  /** waits until the effect is complete; resolves with the proof */
  settled(target: KubeTarget, params: Params, io: KubeFaultIo): Promise<string>
  /** how long `settled` may take, milliseconds */
  settleMs(params: Params): number
}
