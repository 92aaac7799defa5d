import { describe, expect, test } from 'vitest'
import { createStore } from '../lib/kube/store.ts'
import { runsNothing } from '../model/pod-life.ts'
import { podOf, RunnerCensus, type RunnerLease, type RunnerPod } from './runners.ts'

const lease = (pod: string, instance: string, version: string): RunnerLease => ({
  metadata: {
    name: `chaosplane-runner-${pod}`,
    namespace: 'home',
    uid: pod,
    resourceVersion: version,
  },
  spec: { holderIdentity: instance, leaseDurationSeconds: 5 },
})

function census() {
  const store = createStore<RunnerLease>()
  let now = 100_000
  const runners = new RunnerCensus(store, () => now)
  return {
    store,
    pass: (ms: number) => {
      now += ms
    },
    life: (holder: string) => runners.lifeOf(holder, 'home'),
  }
}

describe('a runner', () => {
  test('lives while its Lease moves', () => {
    const { store, pass, life } = census()
    store.replace([lease('r', '1', '1')])
    pass(5_000)
    expect(life('r/1')).toEqual({ alive: true, goneForMs: 0 })
    store.apply({ type: 'MODIFIED', object: lease('r', '1', '2') })
    pass(5_000)
    expect(life('r/1').alive).toBe(true)
    pass(3_000)
    expect(life('r/1')).toEqual({ alive: false, goneForMs: 3_000 })
  })

  test('has gone when its pod lives on as another instance', () => {
    const { store, pass, life } = census()
    store.replace([lease('r', '2', '1')])
    pass(1_000)
    expect(life('r/1')).toEqual({ alive: false, goneForMs: 1_000 })
    expect(life('r/2').alive).toBe(true)
  })

  test('lives as long as no Lease has been seen, and has gone only from then on', () => {
    const { store, pass, life } = census()
    pass(60_000)
    expect(life('r/1')).toEqual({ alive: true, goneForMs: 0 })
    store.replace([])
    expect(life('r/1')).toEqual({ alive: false, goneForMs: 0 })
    pass(3_000)
    expect(life('r/1')).toEqual({ alive: false, goneForMs: 3_000 })
  })

  test('has gone since its Lease was deleted, or since we look', () => {
    const { store, pass, life } = census()
    store.replace([lease('r', '1', '1')])
    expect(life('r/1').alive).toBe(true)
    pass(2_000)
    store.apply({ type: 'DELETED', object: lease('r', '1', '1') })
    pass(4_000)
    expect(life('r/1')).toEqual({ alive: false, goneForMs: 4_000 })
    expect(life('never/1')).toEqual({ alive: false, goneForMs: 6_000 })
  })
})

describe('the pod of a runner', () => {
  const pod = (status: RunnerPod['status']): RunnerPod => ({
    metadata: { name: 'r', uid: 'r', resourceVersion: '1' },
    ...(status ? { status } : {}),
  })

  test.each<[string, RunnerPod['status'], boolean]>([
    ['is just made', undefined, false],
    ['starts', { phase: 'Pending', containerStatuses: [] }, false],
    ['runs', { phase: 'Running', containerStatuses: [{ state: { running: {} } }] }, false],
    ['was killed', { phase: 'Running', containerStatuses: [{ state: {} }] }, true],
    ['was evicted', { phase: 'Failed' }, true],
  ])('%s', (_, status, ended) => {
    expect(runsNothing(pod(status))).toBe(ended)
  })

  test('is named in the claim', () => {
    expect(podOf('runner-a/1')).toBe('runner-a')
    expect(podOf('')).toBe('')
  })
})
