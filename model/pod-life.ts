/** As much of a pod as tells whether it runs something. */
export type PodLife = {
  status?: {
    phase?: string
    reason?: string
    containerStatuses?: { state?: { running?: object } }[]
  }
}

/** The pod will run nothing any more. */
export const isTerminal = ({ status }: PodLife): boolean =>
  status?.phase === 'Succeeded' || status?.phase === 'Failed'

/** None of its containers runs now, as kubelet says; one that restarts in place may run again. */
export function runsNothing(pod: PodLife): boolean {
  if (isTerminal(pod)) return true
  const containers = pod.status?.containerStatuses ?? []
  return containers.length > 0 && containers.every(({ state }) => !state?.running)
}

/** kubelet refused the pod, as its requests do not fit on the node beside those of the others. */
export const nodeIsFull = ({ status }: PodLife): boolean =>
  status?.phase === 'Failed' && /^OutOf(cpu|memory)$/.test(status.reason ?? '')
