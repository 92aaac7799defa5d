import { describe, expect, it } from 'vitest'
import {
  attemptReader,
  type ContainerStatus,
  type FaultPodFacts,
  hasRun,
  mayBeOpen,
  type NextPod,
  type NodeSight,
  nextPod,
  openNodes,
  pauseBefore,
  podName,
  recoveryOrder,
  workOf,
} from './fault-pod-recovery.ts'
import type { RunState, TargetState, TaskState } from './state.ts'
import { runState, targetState, taskState } from './testing.ts'

const owner = { run: 'r1', task: 'pod-cpu-hog-abc', node: 'node-1' }

const program = (state: ContainerStatus['state'], restartCount = 0): ContainerStatus => ({
  name: 'fault',
  restartCount,
  ...(state ? { state } : {}),
})
const guard: ContainerStatus = { name: 'guard', restartCount: 0, state: { running: {} } }
const pod = (attempt: number, status: FaultPodFacts['status']): FaultPodFacts => ({
  metadata: { name: podName(owner, attempt) },
  ...(status ? { status } : {}),
})
const running = program({ running: {} })
const killed = program({ terminated: { exitCode: 137, reason: 'Error' } })
const waits = (reason: string, message = ''): ContainerStatus =>
  program({ waiting: { reason, message } })
const backsOff = { ...waits('CrashLoopBackOff'), restartCount: 1 }
const of = (...containerStatuses: ContainerStatus[]) => ({ phase: 'Running', containerStatuses })

describe('names of fault pods', () => {
  it('hold their attempt, and belong to one run, task and node', () => {
    expect(podName(owner, 3)).toMatch(/^pod-cpu-hog-abc-[0-9a-f]{10}-3$/)
    expect(attemptReader(owner)(podName(owner, 12))).toBe(12)
    expect(attemptReader({ ...owner, node: 'node-2' })(podName(owner, 12))).toBe(0)
    expect(attemptReader(owner)(`${podName(owner, 1)}x`)).toBe(0)
    expect(attemptReader(owner)(podName(owner, 0))).toBe(0)
  })

  it('are names that the API server takes, whatever the task is called', () => {
    const name = podName(
      { ...owner, task: 'A task / with ünusual letters and a very long name' },
      1,
    )
    expect(name.length).toBeLessThanOrEqual(63)
    expect(name).toMatch(/^[a-z0-9][a-z0-9-]*-1$/)
  })
})

describe('what a pod can be expected to do', () => {
  it.each<[string, FaultPodFacts['status'], ReturnType<typeof workOf>['is'], boolean]>([
    ['just made', undefined, 'starting', false],
    ['its image is there', of(waits('ContainerCreating')), 'starting', false],
    ['program and guard run', of(running, guard), 'working', true],
    [
      'the guard is down',
      of(running, { ...guard, state: { terminated: { exitCode: 1 } } }),
      'working',
      true,
    ],
    ['only the guard runs', of(killed, guard), 'down', true],
    ['both are down', of(killed, { ...guard, state: killed.state ?? {} }), 'down', true],
    ['kubelet backs off', of(backsOff, guard), 'down', true],
    ['no image', of(waits('ImagePullBackOff', 'x')), 'hindered', false],
    [
      'the guard has no image',
      of(waits('PodInitializing'), { ...waits('ErrImagePull'), name: 'guard' }),
      'hindered',
      false,
    ],
    ['evicted', { phase: 'Failed', reason: 'Evicted' }, 'over', false],
    ['done', { phase: 'Succeeded' }, 'over', false],
  ])('%s', (_, status, is, ran) => {
    expect(workOf(pod(1, status)).is).toBe(is)
    expect(hasRun(pod(1, status))).toBe(ran)
  })
})

describe('the next pod of a node', () => {
  const onlyPutsBack = (made: FaultPodFacts): FaultPodFacts => {
    const metadata = { ...made.metadata, labels: { 'chaos.chaosplane.io/fault': '' } }
    return { ...made, metadata }
  }
  const base: NodeSight = { owner, pods: [], made: 0, idleMs: 0, until: 'report' }
  const create = (attempt: number): NextPod => ({
    do: 'create',
    name: podName(owner, attempt),
    attempt,
  })
  const keep = (attempt: number, works: boolean): NextPod => ({
    do: 'keep',
    name: podName(owner, attempt),
    works,
  })
  const wait = (inMs: number): NextPod => ({ do: 'wait', inMs })

  it.each<[string, Partial<NodeSight>, NextPod]>([
    ['nothing was made yet', {}, create(1)],
    ['the pod was deleted', { made: 1 }, create(2)],
    ['the pod works', { made: 1, pods: [pod(1, of(running, guard))] }, keep(1, true)],
    ['it starts', { made: 1, pods: [pod(1, undefined)] }, keep(1, false)],
    [
      'killed a moment ago: kubelet starts it again at once',
      { pods: [pod(1, of(killed))] },
      wait(1000),
    ],
    [
      'killed for the second time: kubelet will wait',
      { pods: [pod(1, of({ ...killed, restartCount: 1 }))] },
      create(2),
    ],
    ['killed, and not started again', { pods: [pod(1, of(killed))], idleMs: 1000 }, create(2)],
    ['kubelet backs off: not waited for', { pods: [pod(1, of(backsOff, guard))] }, create(2)],
    ['evicted', { pods: [pod(1, { phase: 'Failed', reason: 'Evicted' })] }, create(2)],
    ['ended well, and its report is wanted', { pods: [pod(1, { phase: 'Succeeded' })] }, create(2)],
    [
      'ended well, and that is enough',
      { pods: [pod(1, { phase: 'Succeeded' })], until: 'put-back' },
      { do: 'nothing' },
    ],
    ['without an image, for a while', { pods: [pod(1, of(waits('ErrImagePull')))] }, wait(10_000)],
    [
      'without an image for long',
      { pods: [pod(1, of(waits('ErrImagePull')))], idleMs: 10_000 },
      create(2),
    ],
    [
      'one that only puts back is at work, and that is enough',
      { pods: [onlyPutsBack(pod(1, of(running, guard)))] },
      keep(1, true),
    ],
    [
      'one that only puts back is at work, and something is yet to be injected',
      { pods: [onlyPutsBack(pod(1, of(running, guard)))], until: 'inject' },
      create(2),
    ],
    [
      'one that may inject is at work, and something is yet to be injected',
      { pods: [pod(1, of(running, guard))], until: 'inject' },
      keep(1, true),
    ],
    [
      'another creator was quicker',
      { made: 1, pods: [pod(1, of(backsOff)), pod(2, undefined)] },
      keep(2, false),
    ],
    [
      'the newest counts, not the one that was started again',
      { pods: [pod(1, of(running)), pod(2, of(backsOff))] },
      create(3),
    ],
    [
      'we made it, and it does not show yet',
      { made: 2, madeAgoMs: 100, pods: [pod(1, of(backsOff))] },
      wait(4900),
    ],
    [
      'we made it, and it never showed',
      { made: 2, madeAgoMs: 5000, pods: [pod(1, of(backsOff))] },
      create(3),
    ],
    [
      'pods of other nodes are no help',
      { pods: [{ metadata: { name: podName({ ...owner, node: 'b' }, 7) } }] },
      create(1),
    ],
    ['the sixth waits a moment', { made: 5 }, wait(1000)],
    ['the sixth after that moment', { made: 5, idleMs: 1000 }, create(6)],
    ['the hundredth waits a minute', { made: 99, idleMs: 1 }, wait(59_999)],
    ['and is made', { made: 99, idleMs: 60_000 }, create(100)],
  ])('%s', (_, change, next) => {
    expect(nextPod({ ...base, ...change })).toEqual(next)
  })

  it('comes ever later, but always', () => {
    const pauses = Array.from({ length: 200 }, (_, i) => pauseBefore(i + 1))
    expect(pauses.every((ms, i) => ms >= (pauses[i - 1] ?? 0))).toBe(true)
    expect(Math.max(...pauses)).toBe(60_000)
  })
})

describe('where something may be open', () => {
  const target = (state: TargetState['state'], more: Partial<TargetState> = {}): TargetState =>
    targetState(`demo/${state}/app`, {
      name: state,
      uid: 'u',
      container: 'app',
      containerId: 'c1',
      node: 'node-1',
      state,
      ...more,
    })
  const task = (more: Partial<TaskState> = {}): TaskState =>
    taskState(owner.task, {
      stage: 'chaos',
      chaosAt: 5,
      prepared: true,
      wave: 1,
      injections: 1,
      acknowledged: { 'node-1': 4 },
      pods: [podName(owner, 2)],
      ...more,
    })
  const run = (...tasks: TaskState[]): RunState =>
    runState(tasks, { runId: owner.run, runner: 'r', startedAt: 1 })

  it.each<[string, TargetState, Partial<TaskState>, boolean]>([
    ['injected', target('injected'), {}, true],
    ['lost', target('lost'), {}, true],
    ['owed', target('owed'), {}, true],
    ['sent', target('targeted'), {}, true],
    ['about to be sent', target('targeted', { wave: 1 }), {}, true],
    ['of a later wave', target('targeted', { wave: 2 }), {}, false],
    ['armed before chaos', target('targeted'), { chaosAt: undefined as never, wave: 0 }, false],
    ['reverted', target('reverted'), {}, false],
    ['failed', target('failed'), {}, false],
    ['untouched', target('untouched'), {}, false],
  ])('%s', (_, one, change, open) => {
    expect(mayBeOpen(one, task(change))).toBe(open)
  })

  it('are the nodes of tasks that have fault pods, with what is known of them', () => {
    const two = target('lost', { id: 'demo/b/app', node: 'node-2' })
    const state = run(
      task({ targets: [target('injected'), target('reverted'), two] }),
      task({ name: 'pod-delete-x', pods: [], targets: [target('injected')] }),
      task({ name: 'over', closed: true, targets: [target('owed')] }),
    )
    expect(openNodes(state)).toMatchObject([
      { owner, made: 2, after: 4, targets: [{ name: 'injected' }] },
      { owner: { ...owner, node: 'node-2' }, made: 0, after: 0, targets: [{ name: 'lost' }] },
    ])
  })

  it('get an order that injects nothing', () => {
    const [open] = openNodes(run(task({ targets: [target('injected'), target('targeted')] })))
    if (!open) throw new Error('nothing is open')
    const resource = { kind: 'ChaosExperiment', namespace: 'v2', name: 'x', uid: 'u' }
    expect(recoveryOrder(open, { cluster: 'c', resource }, 3)).toMatchObject({
      ...owner,
      cluster: 'c',
      resource,
      start: 'sweep',
      attempt: 3,
      after: 4,
      targets: [
        { id: 'demo/injected/app', containerId: 'c1', touched: true },
        { id: 'demo/targeted/app', containerId: 'c1' },
      ],
    })
  })
})
