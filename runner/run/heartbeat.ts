import type { Clock } from '../../lib/clock.ts'
import type { KubeClient } from '../../lib/kube/client.ts'
import { leases, resourcePath } from '../../lib/kube/paths.ts'
import { type KubeObject, microTime } from '../../lib/kube/types.ts'
import type { Log } from '../../lib/log.ts'
import { runnerLeaseLabel, runnerLeaseName } from '../../model/runner-life.ts'
import type { Identity } from './claim.ts'
import type { Pulse } from './pulse.ts'

/** A runner whose lease has not changed for so long is dead, milliseconds. */
export const deadAfterMs = 5000
const beatMs = 1500
/** Half of the time in which nobody can take a runner for dead: the act itself needs some of it, milliseconds. */
export const freshMs = deadAfterMs / 2

export type RunnerLease = KubeObject & { spec?: { holderIdentity?: string; renewTime?: string } }

type Heart = {
  me: Identity
  namespace: string
  clock: Clock
  log: Log
  pulse: Pulse
  monotonic(): number
}

/** Renews this runner's own lease until the signal comes; a failure is tried again at the next beat. */
export async function beat(kube: KubeClient, heart: Heart, signal: AbortSignal): Promise<void> {
  const { me, clock, log } = heart
  while (!signal.aborted) {
    try {
      const at = heart.monotonic()
      await renew(kube, heart, { holder: me.instance, signal })
      heart.pulse.beaten(at)
    } catch (error) {
      if (!signal.aborted) log.warn({ err: error }, 'the runner lease could not be renewed')
    }
    await clock.sleep(beatMs, signal).catch(() => {})
  }
  // Who takes over need not wait until the lease has run out.
  await renew(kube, heart, { holder: '', signal: AbortSignal.timeout(2000) }).catch(() => {})
}

function renew(
  kube: KubeClient,
  { me, namespace, clock }: Heart,
  { holder, signal }: { holder: string; signal: AbortSignal },
): Promise<unknown> {
  const name = runnerLeaseName(me.pod)
  const body = {
    apiVersion: 'coordination.k8s.io/v1',
    kind: 'Lease',
    metadata: { name, namespace, labels: { [runnerLeaseLabel]: 'true' } },
    spec: {
      holderIdentity: holder,
      leaseDurationSeconds: Math.ceil(deadAfterMs / 1000),
      renewTime: microTime(clock.now()),
    },
  }
  return kube.apply(resourcePath({ ...leases, namespace, name }), body, {
    fieldManager: 'chaosplane-runner',
    force: true,
    signal,
    deadlineMs: deadAfterMs,
  })
}
