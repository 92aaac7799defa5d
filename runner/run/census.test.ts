import { afterEach, describe, expect, it, vi } from 'vitest'
import { createStore } from '../../lib/kube/store.ts'
import { createVirtualClock } from '../../lib/kube/testing/virtual-clock.ts'
import type { ContainerStatus } from '../../model/fault-pod-recovery.ts'
import { runnerLeaseName } from '../../model/runner-life.ts'
import type { Pod } from '../hands/pod-cache.ts'
import { Census } from './census.ts'
import type { RunnerLease } from './heartbeat.ts'

const namespace = 'chaosplane'
const other = { pod: 'runner-b', instance: 'b1' }
const meta = (name: string, version: number) => ({
  name,
  namespace,
  uid: name,
  resourceVersion: String(version),
})

/** Two runners, of which this one looks at the other. */
function world(seen: { lease?: boolean; pod?: ContainerStatus['state'] | null }) {
  let version = 0
  const clock = createVirtualClock()
  const leases = createStore<RunnerLease>()
  const pods = createStore<Pod>()
  const beat = (pod: string, holderIdentity: string) =>
    leases.apply({
      type: 'MODIFIED',
      object: { metadata: meta(runnerLeaseName(pod), ++version), spec: { holderIdentity } },
    })
  const podOf = (state: ContainerStatus['state']): Pod => ({
    metadata: meta('runner-b', ++version),
    status: {
      phase: 'Running',
      containerStatuses: [{ name: 'runner', restartCount: 0, ...(state ? { state } : {}) }],
    },
  })
  const setPod = (state: ContainerStatus['state']) =>
    pods.apply({ type: 'MODIFIED', object: podOf(state) })
  const removePod = () => pods.apply({ type: 'DELETED', object: podOf({ running: {} }) })
  if (seen.lease !== false) beat('runner-b', 'b1')
  if (seen.pod !== null) setPod(seen.pod ?? { running: {} })
  const me = { pod: 'runner-a', instance: 'a1' }
  const census = new Census({ leases, pods, me, monotonic: clock.monotonic })
  /** this runner's own lease comes by, as often as it is renewed */
  const pass = async (ms: number) => {
    for (let left = ms; left > 0; left -= 1500) {
      await clock.advance(Math.min(left, 1500))
      beat('runner-a', 'a1')
    }
  }
  return { census, clock, beat, setPod, removePod, pass, look: () => census.look(other, namespace) }
}

describe('a runner is dead', () => {
  it('when it was an earlier life in the same pod', () => {
    const { census } = world({})
    expect(census.look({ pod: 'runner-a', instance: 'a0' }, namespace)).toBe('dead')
    expect(census.look({ pod: 'runner-a', instance: 'a1' }, namespace)).toBe('alive')
  })
  it('as soon as its container does not run', () => {
    const w = world({})
    expect(w.look()).toBe('alive')
    w.setPod({ terminated: { exitCode: 137 } })
    expect(w.look()).toBe('dead')
  })
  it('when its pod is gone and it would ask before it acts: the process may live on a node that is cut off', async () => {
    const w = world({})
    w.removePod()
    expect(w.look()).toBe('alive')
    w.beat('runner-b', 'b1')
    await w.clock.advance(2500)
    expect(w.look()).toBe('alive')
    await w.clock.advance(1)
    expect(w.look()).toBe('dead')
  })
  it('as soon as its lease names another life', () => {
    const w = world({})
    w.beat('runner-b', 'b2')
    expect(w.look()).toBe('dead')
    expect(w.census.look({ pod: 'runner-b', instance: 'b2' }, namespace)).toBe('alive')
  })
  it('when there is a lease and no pod from the start', async () => {
    const w = world({ pod: null })
    expect(w.look()).toBe('alive')
    await w.clock.advance(2501)
    expect(w.look()).toBe('dead')
  })
  it('when it waits to be started again', () =>
    expect(world({ pod: { waiting: { reason: 'CrashLoopBackOff' } } }).look()).toBe('dead'))
  it('when its lease is silent, though its pod is said to run: its node may be away', async () => {
    const w = world({})
    await w.pass(4500)
    expect(w.look()).toBe('alive')
    await w.pass(1500)
    expect(w.look()).toBe('dead')
  })
  it('when it has neither, after a while', async () => {
    const w = world({ lease: false, pod: null })
    expect(w.look()).toBe('unknown')
    await w.pass(6000)
    expect(w.look()).toBe('dead')
  })
})

describe('a runner is alive', () => {
  it('when it was started again and its lease says so before its pod does', () => {
    const w = world({})
    w.setPod({ terminated: { exitCode: 137 } })
    return w.clock.advance(10).then(() => {
      w.beat('runner-b', 'b2')
      expect(w.census.look({ pod: 'runner-b', instance: 'b2' }, namespace)).toBe('alive')
    })
  })
  it('when nobody hears of anybody: it is the API server that is away', async () => {
    const w = world({})
    await w.clock.advance(60_000)
    expect(w.look()).toBe('alive')
    w.beat('runner-a', 'a1')
    expect(w.look()).toBe('alive')
    w.beat('runner-b', 'b1')
    await w.pass(3000)
    expect(w.look()).toBe('alive')
  })
})

describe('a wall clock that is set by an hour', () => {
  afterEach(() => vi.useRealTimers())
  it.each([
    ['forward', 3_600_000],
    ['back', -3_600_000],
  ])('%s makes nobody dead and keeps nobody alive', async (_, step) => {
    const w = world({})
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + step })
    await w.pass(4500)
    expect(w.look()).toBe('alive')
    await w.pass(1500)
    expect(w.look()).toBe('dead')
  })
})
