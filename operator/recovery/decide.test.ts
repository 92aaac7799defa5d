import { describe, expect, it } from 'vitest'
import { podName } from '../../model/fault-pod-recovery.ts'
import type { Experiment } from '../experiment/observe.ts'
import { running, runOf, target, task } from '../testing/runs.ts'
import { decide, type NodeMemory, type RecoveryPod, refusedAgain, type Seen } from './decide.ts'

const bare = {
  metadata: { name: 'x', namespace: 'v2', uid: 'u1', resourceVersion: '1' },
} as Experiment
const owner = { run: 'u1', task: running.name, node: 'n1' }
const pods = [podName(owner, 1)]
const life = { alive: true, goneForMs: 0 }
const dead = { alive: false, goneForMs: 9 }

const of = (
  more: Partial<Experiment['metadata']> = {},
  tasks = [{ ...running, pods }],
): Experiment => ({
  ...bare,
  metadata: { ...bare.metadata, finalizers: ['chaos.chaosplane.io/run'], ...more },
  status: { run: runOf(bare, { tasks }) },
})
const pod = (attempt: number, status: RecoveryPod['status']): RecoveryPod => ({
  metadata: { name: podName(owner, attempt), uid: `p${attempt}`, resourceVersion: '1' },
  ...(status ? { status } : {}),
})
const program = (state: object): RecoveryPod['status'] => ({
  phase: 'Running',
  containerStatuses: [{ name: 'fault', restartCount: 1, state }],
})
const working = program({ running: {} })
const backsOff = program({ waiting: { reason: 'CrashLoopBackOff' } })

/** Looks at the given moments; what was made, with the moment. */
function watch(seen: Partial<Seen>, moments: number[]): (string | number)[] {
  const memories = new Map<string, NodeMemory>()
  return moments.flatMap((now) => {
    const base = { object: of(), pods: [], runner: life }
    const { make } = decide({ ...base, ...seen, now }, memories)
    return make.flatMap(({ name }) => [now, name])
  })
}

describe('a recovery pod of the operator', () => {
  it.each<[string, Partial<Seen>, (string | number)[]]>([
    ['a program works', { pods: [pod(1, working)] }, []],
    ['the pod is gone, its runner lives: it is given a moment', {}, [1500, podName(owner, 2)]],
    ['the pod is gone, so is its runner', { runner: dead }, [0, podName(owner, 2)]],
    [
      'kubelet backs off, no runner',
      { runner: dead, pods: [pod(1, backsOff)] },
      [0, podName(owner, 2)],
    ],
    [
      'kubelet backs off, its runner has not acted',
      { pods: [pod(1, backsOff)] },
      [1500, podName(owner, 2)],
    ],
    ['its runner made one', { pods: [pod(1, backsOff), pod(2, undefined)] }, []],
    [
      'put back, and nobody there to read it',
      { runner: dead, pods: [pod(2, { phase: 'Succeeded' })] },
      [],
    ],
    [
      'nothing is open',
      { object: of({}, [task({ pods, targets: [{ ...target, state: 'reverted' }] })]) },
      [],
    ],
    ['the run was let go', { object: of({ finalizers: [] }) }, []],
    ['no run yet', { object: bare }, []],
    [
      'a record that nobody can read',
      { object: { ...of(), status: { run: { tasks: 'many' } } } as unknown as Experiment },
      [],
    ],
    [
      'in deletion it is put back as well',
      { object: of({ deletionTimestamp: 'x' }), runner: dead },
      [0, podName(owner, 2)],
    ],
  ])('%s', (_, seen, made) => {
    expect(watch(seen, [0, 100, 1400, 1500]).slice(0, 2)).toEqual(made)
  })

  it('is made once while it does not show, and followed by another one when it never does', () => {
    const memories = new Map<string, NodeMemory>()
    const look = (now: number) => decide({ object: of(), pods: [], runner: dead, now }, memories)
    look(0)
    const [first] = look(1).make
    memories.set(`${owner.run}/${owner.task}/${owner.node}`, {
      idleSince: 0,
      made: { attempt: first?.attempt ?? 0, at: 1 },
    })
    expect(look(2).make).toEqual([])
    expect(look(4999).make).toEqual([])
    expect(look(5001).make.map(({ attempt }) => attempt)).toEqual([3])
  })

  it('is tried again ever later when it was refused, at the latest after 30 s, and at once when one has worked', () => {
    const memory: NodeMemory = { idleSince: 0 }
    const memories = new Map([[`${owner.run}/${owner.task}/${owner.node}`, memory]])
    const look = (now: number, pods: RecoveryPod[] = []) =>
      decide({ object: of(), pods, runner: dead, now }, memories)
    const waits: number[] = []
    for (let now = 0; waits.length < 9; ) {
      expect(look(now).make).toHaveLength(1)
      memory.refused = refusedAgain(memory, now)
      const { until } = memory.refused
      expect(look(until - 1)).toEqual({ make: [], againMs: 1 })
      waits.push(until - now)
      now = until
    }
    expect(waits).toEqual([500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000])
    look(1, [pod(2, working)])
    expect(memory).not.toHaveProperty('refused')
  })

  it('asks for nothing where the node has nothing to give', () => {
    const seen = {
      object: of(),
      runner: dead,
      pods: [pod(1, { phase: 'Failed', reason: 'OutOfcpu' })],
    }
    const memories = new Map<string, NodeMemory>()
    decide({ ...seen, now: 0 }, memories)
    expect(decide({ ...seen, now: 1 }, memories).make).toMatchObject([
      { attempt: 2, reserve: false },
    ])
  })

  it('is looked for again while something is open, and only then', () => {
    const memories = new Map<string, NodeMemory>()
    const look = (object: Experiment) =>
      decide({ object, pods: [pod(1, working)], runner: life, now: 0 }, memories).againMs
    expect(look(of())).toBe(1000)
    expect(look(bare)).toBeUndefined()
    expect(memories.size).toBe(0)
  })
})
