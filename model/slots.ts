import { faultPodLabels } from './fault-pod-spec.ts'

/** On the Lease by which one target of one experiment holds something alone. */
export const slotLabel = 'chaos.chaosplane.io/slot'

export const slotLabels = (uid: string): Record<string, string> => ({
  [slotLabel]: 'true',
  [faultPodLabels.uid]: uid,
})

/** Selects all that the experiment with this uid holds. */
export const slotSelector = (uid: string): string =>
  Object.entries(slotLabels(uid))
    .map(([key, value]) => `${key}=${value}`)
    .join(',')
