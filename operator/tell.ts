import type { EventRecorder } from '../lib/kube/events.ts'
import type { KubeObject } from '../lib/kube/types.ts'

/** An Event that cannot be written holds nothing up for longer, milliseconds. */
const tellMs = 1_000

/** Ends when what was recorded about this object is told, or is not worth more time: nobody would tell it later. */
export const toldSoon = (
  recorder: EventRecorder,
  object: KubeObject,
  signal: AbortSignal,
): Promise<void> => recorder.told(object, AbortSignal.any([signal, AbortSignal.timeout(tellMs)]))
