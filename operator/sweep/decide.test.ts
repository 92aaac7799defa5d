import { describe, expect, test } from 'vitest'
import { warmLabels } from '../../model/fault-pod-spec.ts'
import type { RunState } from '../../model/state.ts'
import type { Experiment } from '../experiment/observe.ts'
import { fateOf, graceMs, type SweptPod, youngMs } from './decide.ts'

const now = Date.UTC(2026, 10, 1)
const createdAgo = (ms: number) => new Date(now - ms).toISOString()
const pod = (phase: string, change: object = {}): SweptPod => ({
  metadata: {
    name: 'p',
    namespace: 'n',
    uid: 'u',
    resourceVersion: '1',
    creationTimestamp: createdAgo(120_000),
    ...change,
  },
  status: { phase },
})
type Of = { endedAgo?: number; held?: boolean; retain?: boolean }
const experiment = ({ endedAgo, held = false, retain = false }: Of): Experiment => {
  const run: Pick<RunState, 'finishedAt'> =
    endedAgo === undefined ? {} : { finishedAt: now - endedAgo }
  return {
    metadata: {
      name: 'e',
      uid: 'x',
      resourceVersion: '1',
      finalizers: held ? ['chaos.chaosplane.io/run'] : [],
    },
    spec: { cleanupPolicy: retain ? 'retain' : 'delete' },
    status: { run: run as RunState },
  }
}

describe('a pod of ours', () => {
  const over = { endedAgo: graceMs }
  test.each([
    ['stays while its run is held', pod('Running'), experiment({ ...over, held: true }), 'keep'],
    ['stays while its run goes on', pod('Running'), experiment({}), 'keep'],
    ['gets a moment to be taken along', pod('Running'), experiment({ endedAgo: 1 }), 'look-again'],
    ['goes when its run is over', pod('Running'), experiment(over), 'delete'],
    ['goes when its run is over, ended or not', pod('Succeeded'), experiment(over), 'delete'],
    [
      'stays when it ended and is retained',
      pod('Failed'),
      experiment({ ...over, retain: true }),
      'keep',
    ],
    [
      'goes when it runs on, retained or not',
      pod('Running'),
      experiment({ ...over, retain: true }),
      'delete',
    ],
    ['goes without its experiment', pod('Succeeded'), undefined, 'delete'],
    [
      'goes without its experiment, but not at once',
      pod('Running', { creationTimestamp: createdAgo(youngMs - 1) }),
      undefined,
      'look-again',
    ],
    [
      'that waited for long and was just claimed is young',
      pod('Running', { labels: { [warmLabels.claimedAt]: String(now - youngMs + 1) } }),
      undefined,
      'look-again',
    ],
    [
      'that was claimed for long is not',
      pod('Running', { labels: { [warmLabels.claimedAt]: String(now - youngMs - 1) } }),
      undefined,
      'delete',
    ],
    [
      'is left alone when it goes already',
      pod('Running', { deletionTimestamp: createdAgo(0) }),
      undefined,
      'keep',
    ],
  ])('%s', (_, thePod, theExperiment, fate) => {
    expect(fateOf({ pod: thePod, experiment: theExperiment, now }).do).toBe(fate)
  })
})
