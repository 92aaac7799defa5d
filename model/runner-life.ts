/** Pods of runners. */
export const runnerPodSelector =
  'app.kubernetes.io/name=chaosplane,app.kubernetes.io/component=runner'

/** Pods of the programs that carry runs: where they are, nodes are hit by name only. */
export const programPodSelector =
  'app.kubernetes.io/name=chaosplane,app.kubernetes.io/component in (runner,operator)'

/** Label of the Leases by which runners say that they live; the holder is one life of that runner. */
export const runnerLeaseLabel = 'chaos.chaosplane.io/runner'

export const runnerLeaseName = (pod: string): string => `chaosplane-runner-${pod}`.slice(0, 253)

/** The finalizer by which a runner holds a resource until everything of its run is put back. */
export const runFinalizer = 'chaos.chaosplane.io/run'

/** Names the runner that holds it, `<pod>/<instance>`. */
export const claimAnnotation = 'chaos.chaosplane.io/claimed-by'
