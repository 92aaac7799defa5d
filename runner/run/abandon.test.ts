import { expect, it } from 'vitest'
import type { KubeClient } from '../../lib/kube/client.ts'
import type { EventRecorder } from '../../lib/kube/events.ts'
import { silentLog } from '../../lib/log.ts'
import type { FactBody } from '../engine/fact.ts'
import { runState, target, taskState } from '../engine/testing.ts'
import { AbandonEar } from './abandon.ts'
import { type Experiment, resourceOf } from './resource.ts'

const experiment = (value?: string): Experiment => ({
  metadata: {
    name: 'x',
    namespace: 'v2',
    uid: 'u',
    resourceVersion: '1',
    annotations: value === undefined ? {} : { 'chaos.chaosplane.io/abandon': value },
  },
})

/** An ear, what it says and does, and a loop whose only target is in this state. */
function listen(state: 'owed' | 'injected', recorded = async () => {}) {
  const [facts, told, removed]: [string[], string[], unknown[]] = [[], [], []]
  const ear = new AbandonEar({
    resource: resourceOf('ChaosExperiment', experiment()),
    log: silentLog(),
    recorded,
    events: {
      record: ({ reason }: { reason: string }) => told.push(reason),
    } as unknown as EventRecorder,
    kube: {
      jsonPatch: async (_: string, ops: { value?: unknown }[]) => removed.push(ops[0]?.value),
    } as unknown as KubeClient,
  })
  const loop = {
    state: runState([taskState('hog', { targets: [target('a', { state })] })]),
    emit: ({ fact }: FactBody) => void facts.push(fact),
  }
  return { heed: (value?: string) => ear.heed(experiment(value), loop), facts, told, removed }
}

/** What waits for nothing outside is done by then. */
const settled = () => new Promise((done) => setTimeout(done, 0))

it('takes the annotation off only when what it asked for is on record', async () => {
  const record = Promise.withResolvers<void>()
  const { heed, facts, removed } = listen('owed', () => record.promise)
  heed('burned')
  await settled()
  expect([facts, removed]).toEqual([['aborted', 'abandoned'], []])
  record.resolve()
  await settled()
  expect(removed).toEqual(['burned'])
})

it('leaves the annotation to the next runner when this one can record nothing', async () => {
  const { heed, removed } = listen('owed', () => Promise.reject(new Error('another holds the run')))
  heed('burned')
  await settled()
  expect(removed).toEqual([])
})

it('gives up what is owed, once for each time that it is asked', async () => {
  const { heed, facts, told, removed } = listen('owed')
  heed()
  heed('burned')
  heed('burned')
  await settled()
  expect([facts, told, removed]).toEqual([['aborted', 'abandoned'], [], ['burned']])
  heed()
  heed('burned')
  expect(facts.length).toBe(4)
})

it('refuses without a reason, and takes the annotation off', async () => {
  const { heed, facts, told, removed } = listen('owed')
  heed(' ')
  await settled()
  expect([facts, told, removed]).toEqual([[], ['AbandonRefused'], [' ']])
})

it('has no effect when nothing is owed, also not later', async () => {
  const { heed, facts, told, removed } = listen('injected')
  heed('burned')
  await settled()
  expect([facts, told, removed]).toEqual([[], ['AbandonIgnored'], ['burned']])
})
