/** Pods of runners. */
export const runnerPodSelector =
  'app.kubernetes.io/name=chaosplane,app.kubernetes.io/component=runner'

/** Label of the Leases by which runners say that they live; the holder is one life of that runner. */
export const runnerLeaseLabel = 'chaos.chaosplane.io/runner'

export const runnerLeaseName = (pod: string): string => `chaosplane-runner-${pod}`.slice(0, 253)
