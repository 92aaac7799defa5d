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
function listen(state: 'owed' | 'injected') {
  const [facts, told, removed]: [string[], string[], unknown[]] = [[], [], []]
  const ear = new AbandonEar({
    resource: resourceOf('ChaosExperiment', experiment()),
    log: silentLog(),
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

it('gives up what is owed, once for each time that it is asked', () => {
  const { heed, facts, told, removed } = listen('owed')
  heed()
  heed('burned')
  heed('burned')
  expect([facts, told, removed]).toEqual([['aborted', 'abandoned'], [], ['burned']])
  heed()
  heed('burned')
  expect(facts.length).toBe(4)
})

it('refuses without a reason, and takes the annotation off', () => {
  const { heed, facts, told, removed } = listen('owed')
  heed(' ')
  expect([facts, told, removed]).toEqual([[], ['AbandonRefused'], [' ']])
})

it('has no effect when nothing is owed, also not later', () => {
  const { heed, facts, told, removed } = listen('injected')
  heed('burned')
  expect([facts, told, removed]).toEqual([[], ['AbandonIgnored'], ['burned']])
})
