import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, describe, expect, it } from 'vitest'
import { type Clock, systemClock } from '../../lib/clock.ts'
import { KubeError } from '../../lib/kube/errors.ts'
import type { NodeOrder } from '../../model/fault-pod.ts'
import { podName } from '../../model/fault-pod-recovery.ts'
import { lastWord } from '../../model/last-word.ts'
import type { TargetState, TaskState } from '../../model/state.ts'
import { targetState } from '../../model/testing.ts'
import { decide } from '../engine/decide.ts'
import { planOf, runState, shapeOf, taskPlan } from '../engine/testing.ts'
import { until } from '../fault-pod/testing/pod.ts'
import { aheadOf } from './node-facts.ts'
import { NodeSession } from './node-session.ts'
import { PosedNode, type Script } from './testing/posed-node.ts'

const order: NodeOrder = {
  protocol: 1,
  cluster: 'c',
  node: 'n1',
  run: 'r1',
  task: 'hog',
  resource: { kind: 'ChaosExperiment', namespace: 'v2', name: 'x', uid: 'u' },
  fault: 'pod-cpu-hog',
  params: {},
  targets: [
    { id: 'demo/a', namespace: 'demo', pod: 'a', podUid: 'u', container: 'app', containerId: 'c1' },
  ],
  holdMs: 60_000,
  start: 'now',
  attempt: 1,
  after: 0,
  armedForMs: 60_000,
}
const target = (state: TargetState['state']): TargetState =>
  targetState('demo/a', {
    name: 'a',
    uid: 'u',
    container: 'app',
    containerId: 'c1',
    node: 'n1',
    state,
    ...(state === 'injected' ? { injectedAt: Date.now() - 500 } : {}),
  })

/** The first pod injects; whoever takes its place has put back and says so. */
const usual: Script = ({ attempt }, say) => {
  if (attempt === 1) {
    const endsAt = Date.now() + 60_000
    say({ event: 'injected', target: 'demo/a', evidence: 'burns', endsAt } as never)
    return undefined
  }
  say({ event: 'lost', target: 'demo/a', heldMs: 5, reason: 'the program was ended' } as never)
  say({ event: 'reverted', target: 'demo/a', why: 'guard', heldMs: 5, proof: 'p' } as never)
  return undefined
}
const sessions: NodeSession[] = []
function begin(script: Script = usual, state: TargetState['state'] = 'targeted') {
  const node = new PosedNode([target(state)], script)
  const session = new NodeSession(node.parts(), node.links(order))
  sessions.push(session)
  session.begin()
  return { node, session }
}
afterEach(async () => {
  for (const session of sessions.splice(0)) await session.leave()
})

const held = (node: PosedNode) =>
  until(
    3000,
    () => node.task.targets[0]?.state === 'injected',
    () => JSON.stringify(node.facts),
  )
const over = (node: PosedNode, ms = 5000) =>
  until(
    ms,
    () => node.task.targets[0]?.state === 'reverted',
    () => JSON.stringify(node.facts),
  )
const attempts = (node: PosedNode): number[] => node.created.map((pod) => pod.order.attempt)

describe('a session with a node', () => {
  it.each<[string, Parameters<PosedNode['says']>[0], [number, number]]>([
    ['is gone', undefined, [0, 800]],
    [
      'is not started again by kubelet for a while',
      { waiting: { reason: 'CrashLoopBackOff' } },
      [0, 800],
    ],
    ['was killed and is not started again at once', { terminated: { exitCode: 137 } }, [950, 2500]],
  ])('replaces a pod that %s', async (_, state, [least, most]) => {
    const { node } = begin()
    await held(node)
    const from = performance.now()
    node.says(state)
    await over(node)
    const took = performance.now() - from
    expect(took).toBeGreaterThanOrEqual(least)
    expect(took).toBeLessThan(most)
    expect(attempts(node)).toEqual([1, 2])
    expect(node.created[1]?.order).toMatchObject({
      start: 'wait',
      after: 1,
      targets: [{ id: 'demo/a', touched: true }],
    })
    expect(node.names()).toContain('lost')
  })

  it('tells the node of a late target when that is on record, also on a stream that begins before', async () => {
    const late = targetState('demo/b', {
      ...{ name: 'b', uid: 'u2', container: 'app', containerId: 'c2', node: 'n1' },
      ...{ state: 'targeted', holdMs: 30_000, until: Date.now() + 30_000 },
    })
    const node = new PosedNode([target('targeted'), late], usual, { wave: 1 })
    const { promise, resolve } = Promise.withResolvers<void>()
    // The name of its pod is stored, the late target is not yet.
    let stored = 0
    const durable = async () => (stored++ === 0 ? undefined : promise)
    const session = new NodeSession(node.parts(), { ...node.links(order), durable })
    sessions.push(session)
    session.begin()
    await held(node)
    await sleep(50)
    const joins = () => node.commands.filter((one) => one.do === 'join')
    expect(joins()).toEqual([])
    resolve()
    await until(3000, () => joins().length === 1)
    expect(joins()).toMatchObject([{ targets: [{ id: 'demo/b' }] }])
  })

  it('tells the node of a late target that the runner before recorded, and told nobody of', async () => {
    const told = new Set<string>()
    /** As the program: whom it knows it does not hit again. */
    const program: Script = (_, say) => {
      const hit = (id: string) => {
        if (told.has(id)) return
        told.add(id)
        const endsAt = Date.now() + 60_000
        say({ event: 'injected', target: id, evidence: 'burns', endsAt } as never)
      }
      hit('demo/a')
      return (command) => {
        if (command.do === 'join') for (const { id } of command.targets) hit(id)
      }
    }
    const node = new PosedNode([target('targeted')], program, { wave: 1 })
    const session = new NodeSession(node.parts(), node.links(order))
    sessions.push(session)
    session.begin()
    await held(node)
    const end = Date.now() + 30_000
    const late = targetState('demo/b', {
      ...{ name: 'b', uid: 'u2', container: 'app', containerId: 'c2', node: 'n1' },
      ...{ state: 'targeted', holdMs: 30_000, until: end },
    })
    // It dies here: on record, not joined.
    node.links(order).emit({ fact: 'joined', task: 'hog', targets: [late] })
    await session.leave()
    expect(node.commands.filter((one) => one.do === 'join')).toEqual([])
    const heir = new NodeSession(node.parts(), node.links(order))
    sessions.push(heir)
    heir.begin()
    await until(3000, () => node.task.targets[1]?.state === 'injected')
    const joins = () => node.commands.filter((one) => one.do === 'join')
    expect(joins()).toMatchObject([{ targets: [{ id: 'demo/b', containerId: 'c2' }] }])
    const [{ holdMs = 0 } = {}] = joins()[0]?.targets ?? []
    expect(holdMs).toBeLessThanOrEqual(30_000)
    expect(holdMs).toBeGreaterThan(25_000)
    // One that is on record as hit is not told again, whoever comes.
    await heir.leave()
    const third = new NodeSession(node.parts(), node.links(order))
    sessions.push(third)
    third.begin()
    const hellos = () => node.commands.filter((one) => one.do === 'hello').length
    await until(3000, () => hellos() === 3)
    await sleep(50)
    expect(joins()).toHaveLength(1)
    const records = node.task.targets.map(({ id, state }) => [id, state])
    expect(records).toEqual([
      ['demo/a', 'injected'],
      ['demo/b', 'injected'],
    ])
    expect(node.names().filter((name) => name === 'injected')).toHaveLength(2)
    expect(node.created).toHaveLength(1)
  })

  it('does not let a pod begin by itself whose name was recorded while the run rested', async () => {
    const node = new PosedNode([target('targeted')], usual)
    let rests = true
    const links = {
      ...node.links(order),
      resting: () => rests,
      durable: async () => {
        rests = false
      },
    }
    const session = new NodeSession(node.parts(), links)
    sessions.push(session)
    session.begin()
    await until(3000, () => node.created.length === 1)
    expect(node.created[0]?.order.start).toBe('wait')
  })

  describe('whose runner before it died between the record of a pod and the pod, so that an operator has sent one', () => {
    const [first, second] = [1, 2].map((n) => podName(order, n)) as [string, string]
    /** One that only puts back finds nothing, and refuses to inject; others do as they are told. */
    const script: Script = ({ attempt, start }, say) => {
      if (start === 'sweep') return undefined
      say({ event: 'armed', target: 'demo/a', guarded: true } as never)
      return (command) => {
        const endsAt = Date.now() + 60_000
        if (command.do === 'go')
          say({ event: 'injected', target: 'demo/a', evidence: `by ${attempt}`, endsAt } as never)
      }
    }
    const meet = (over: Partial<TaskState>) => {
      const node = new PosedNode([target('targeted')], script, { pods: [first], wave: 1, ...over })
      node.comesFromOperator(second, { ...order, fault: '', start: 'sweep', attempt: 2 })
      const session = new NodeSession(node.parts(), node.links({ ...order, start: 'wait' }))
      sessions.push(session)
      session.begin()
      return { node }
    }

    it('owes its target when another one is refused: the first may have hit it', async () => {
      const node = new PosedNode([target('targeted')], script, { pods: [first], wave: 1 })
      node.refusal = new KubeError({ status: 403, reason: 'Forbidden', message: 'exceeded quota' })
      const sweep = { ...order, fault: '', start: 'sweep', attempt: 2 } as const
      node.comesFromOperator(second, sweep, { waiting: { reason: 'ContainerCreating' } } as never)
      const session = new NodeSession(node.parts(), node.links({ ...order, start: 'wait' }))
      sessions.push(session)
      session.begin()
      await until(3000, () => node.task.targets[0]?.state !== 'targeted')
      expect(node.task.targets[0]?.state).toBe('owed')
      expect(node.names()).not.toContain('inject-failed')
    })

    it('has one made that can inject', async () => {
      const { node } = meet({})
      await held(node)
      expect(node.task.targets[0]?.evidence).toBe('by 3')
      expect(attempts(node)).toEqual([2, 3])
    })

    it.each<[string, Partial<TaskState>]>([
      ['the node was heard of', { acknowledged: { n1: 1 } }],
      ['the target was hit', { targets: [target('injected')] }],
      ['the run rests for it', { targets: [{ ...target('targeted'), suspended: true }] }],
    ])('is content with it when %s', async (_, over) => {
      const { node } = meet(over)
      await until(
        3000,
        () => node.commands.length > 0,
        () => JSON.stringify([node.facts, node.commands, node.created]),
      )
      await sleep(50)
      expect(attempts(node)).toEqual([2])
    })
  })

  it('leaves a program that kubelet starts again at once its pod', async () => {
    let lives = 0
    const { node } = begin((one, say) => {
      lives++
      return usual({ ...one, attempt: lives }, say)
    })
    await held(node)
    node.says({ terminated: { exitCode: 137 } })
    setTimeout(() => node.says({ running: {} }), 500)
    await over(node)
    expect(attempts(node)).toEqual([1])
  })

  it('goes on after any number of pods, ever slower', async () => {
    const { node } = begin(({ attempt }, say) =>
      attempt < 7 ? usual({ ...order, attempt: 1 }, say) : usual({ ...order, attempt }, say),
    )
    await held(node)
    const from = performance.now()
    for (let n = 1; n < 7; n++) {
      await until(4000, () => attempts(node).length === n)
      await until(2000, () => node.store.list().length === 1)
      node.says(undefined)
    }
    await over(node, 8000)
    expect(attempts(node)).toEqual([1, 2, 3, 4, 5, 6, 7])
    // one second before the sixth, two before the seventh
    expect(performance.now() - from).toBeGreaterThan(2900)
    expect(node.task.pods.length).toBe(1)
  }, 30_000)

  it('whose first pod is refused injects nothing, says why, and tries no more', async () => {
    const node = new PosedNode([target('targeted')], usual)
    node.refusal = new KubeError({
      status: 403,
      reason: 'Forbidden',
      message: 'pods "x" is forbidden: exceeded quota: q',
    })
    const session = new NodeSession(node.parts(), node.links(order))
    sessions.push(session)
    session.begin()
    await until(3000, () => node.task.targets[0]?.state === 'failed')
    await session.close(AbortSignal.timeout(5000))
    expect(node.created).toEqual([])
    expect(node.task.trouble).toMatchObject({ code: 'HELPER_ERROR' })
    expect(node.task.trouble?.reason).toContain('Raise the ResourceQuota of namespace home')
  })

  it('makes no pod for a run that another runner has by now', async () => {
    const node = new PosedNode([target('targeted')], usual)
    node.isTakenOver = true
    const session = new NodeSession(node.parts(), node.links(order))
    sessions.push(session)
    session.begin()
    await until(3000, () => node.asked.length > 1)
    expect(node.asked.every((pods) => pods === 0)).toBe(true)
    expect(node.created).toEqual([])
  })

  it('whose later pod is refused owes, and goes on when it is allowed', async () => {
    const { node } = begin()
    await held(node)
    node.refusal = new KubeError({ status: 403, reason: 'Forbidden', message: 'exceeded quota' })
    node.says(undefined)
    await until(3000, () => node.task.targets[0]?.state === 'owed')
    expect(node.task.targets[0]?.remaining?.[0]).toContain('go-*.sh')
    node.refusal = null
    await over(node, 8000)
  }, 20_000)

  it('whose node has gone lets its targets go with it', async () => {
    const { node } = begin()
    await held(node)
    node.isInCluster = false
    node.says(undefined)
    await over(node)
    expect(node.task.targets[0]).toMatchObject({ outcome: 'noLongerExists' })
    expect(attempts(node)).toEqual([1])
    expect(node.names()).toContain('lost')
  })

  it('takes the pods of a node that has gone away by force: no kubelet ends them', async () => {
    const { node, session } = begin()
    await held(node)
    node.isInCluster = false
    node.breaks()
    await over(node)
    await session.close(AbortSignal.timeout(5000))
    expect(node.removals).toEqual([{ name: node.created[0]?.metadata.name, gracePeriodSeconds: 0 }])
    expect(node.store.list()).toEqual([])
  })

  it('reads in the status of the pod what a stream that broke did not bring: no other pod comes', async () => {
    const { node, session } = begin()
    await held(node)
    node.links(order).emit({ fact: 'reverted', task: 'hog', target: 'demo/a', proof: 'p' })
    node.losesBye = true
    const from = performance.now()
    const closed = session.close(AbortSignal.timeout(20_000))
    await until(2000, () => node.commands.some((command) => command.do === 'quit'))
    setTimeout(() => node.says({ terminated: { exitCode: 0, message: lastWord } }), 300)
    await closed
    expect(performance.now() - from).toBeLessThan(2000)
    expect(attempts(node)).toEqual([1])
    expect(node.store.list()).toEqual([])
  })

  describe('told to stop while its pod does not start', () => {
    const notYet = async () => {
      const node = new PosedNode([target('targeted')], usual)
      node.birth = null
      const session = new NodeSession(node.parts(), node.links(order))
      sessions.push(session)
      session.begin()
      await until(2000, () => node.store.list().length === 1)
      return { node, session }
    }

    it('takes it away: nothing was done to the target, and no other pod comes', async () => {
      const { node, session } = await notYet()
      const from = performance.now()
      void session.stop('aborted')
      await until(3000, () => node.task.targets[0]?.state === 'untouched')
      await session.close(AbortSignal.timeout(5000))
      expect(performance.now() - from).toBeLessThan(3000)
      expect(attempts(node)).toEqual([1])
      expect(node.store.list()).toEqual([])
    })

    it('and starts after all before it goes, sends another one to look', async () => {
      const { node, session } = await notYet()
      node.death = { terminated: { exitCode: 0 } }
      void session.stop('aborted')
      await until(3000, () => node.removals.length === 1)
      node.death = null
      node.birth = { running: {} }
      await over(node, 3000)
      expect(attempts(node)).toEqual([1, 2])
      expect(node.created[1]?.order).toMatchObject({ start: 'wait' })
      expect(node.commands.map((command) => command.do)).toContain('stop')
    })

    it('and starts in time, hears it', async () => {
      const { node, session } = await notYet()
      void session.stop('aborted')
      setTimeout(() => node.says({ running: {} }), 500)
      await until(3000, () => node.commands.some((command) => command.do === 'stop'))
      expect(node.removals).toEqual([])
      expect(attempts(node)).toEqual([1])
    })
  })

  describe('whose pod does not start in time', () => {
    const times = 100
    const from = Date.now()
    /** Three minutes pass in 1.8 s. */
    const hurried: Clock = {
      now: () => from + (Date.now() - from) * times,
      sleep: (ms, signal) => systemClock.sleep(ms / times, signal),
    }
    const seconds = (s: number) => sleep((s * 1000) / times)
    const began = async (start: NodeOrder['start'] = 'now', script = usual) => {
      const node = new PosedNode([target('targeted')], script)
      node.birth = null
      const parts = { ...node.parts(), clock: hurried }
      const session = new NodeSession(parts, node.links({ ...order, start }))
      sessions.push(session)
      session.begin()
      await until(2000, () => node.store.list().length === 1)
      return { node, session }
    }
    const state = (node: PosedNode) => node.task.targets[0]?.state

    it('says so once API server and node have said it for a minute', async () => {
      const { node } = await began()
      await seconds(170)
      expect(state(node)).toBe('targeted')
      await until(1000, () => state(node) === 'failed')
      expect(node.task.trouble?.reason).toContain('did not start within 180 s')
    })

    it('says nothing while nobody can tell, nor of what an API server shows that was away', async () => {
      const { node } = await began()
      await seconds(100)
      node.isReachable = false
      await seconds(150)
      node.isReachable = true
      await seconds(40)
      expect(state(node)).toBe('targeted')
      // it had run all the time
      node.says({ running: {} })
      await held(node)
      expect(node.names()).not.toContain('inject-failed')
    })

    it('owes what may run on a node that is not ready, and hears of it later', async () => {
      const { node } = await began('now', (_, say) => {
        const endsAt = Date.now()
        say({ event: 'injected', target: 'demo/a', evidence: 'burns', endsAt } as never)
        say({
          event: 'reverted',
          target: 'demo/a',
          why: 'deadline',
          heldMs: 7,
          proof: 'p',
        } as never)
        return undefined
      })
      node.isReady = false
      await until(4000, () => state(node) === 'owed')
      expect(node.task.trouble?.reason).toContain('node n1 is not ready')
      node.isReady = true
      node.says({ running: {} })
      await over(node)
      expect(node.task.targets[0]?.heldMs).toBe(7)
    })

    it('owes nothing any more once the node says that it has not started', async () => {
      const { node } = await began()
      node.isReady = false
      await until(4000, () => state(node) === 'owed')
      node.isReady = true
      await until(2000, () => state(node) === 'failed')
    })

    it('owes nothing any more once it is taken away unstarted', async () => {
      const { node, session } = await began()
      node.isReady = false
      await until(4000, () => state(node) === 'owed')
      node.isReady = true
      // pods can be removed, and whether they run cannot be asked
      node.isReachable = false
      await session.stop('aborted')
      await over(node)
      expect(node.task.targets[0]).toMatchObject({ heldMs: 0 })
    })

    it('is sure of a program that would wait for its order', async () => {
      const { node } = await began('wait')
      node.isReady = false
      await until(4000, () => state(node) === 'failed')
    })
  })

  it('sends somebody for the journal of a pod that was lost after its last word', async () => {
    const { node, session } = begin()
    await held(node)
    await session.stop('over')
    const [first] = node.created
    node.links(order).emit({ fact: 'reverted', task: 'hog', target: 'demo/a', proof: 'p' })
    node.says(undefined)
    await session.close(AbortSignal.timeout(20_000))
    expect(first?.order.attempt).toBe(1)
    expect(attempts(node)).toEqual([1, 2])
    expect(node.commands.map((command) => command.do).filter((one) => one === 'quit')).toEqual([
      'quit',
    ])
    expect(node.store.list()).toEqual([])
  })
})

describe('a session with a warm pod on its node', () => {
  function beginWarm() {
    const node = new PosedNode([target('targeted')], usual)
    const parts = { ...node.parts(), warm: node.warm('warm-1') }
    const session = new NodeSession(parts, node.links(order))
    sessions.push(session)
    session.begin()
    return { node, session, parts }
  }
  const orders = (node: PosedNode) =>
    node.commands.flatMap((command) => (command.do === 'order' ? [command] : []))

  it('makes none, gives it its order first, and has another one made at the end', async () => {
    const { node, session } = beginWarm()
    await held(node)
    expect(node.created.map(({ metadata }) => metadata.name)).toEqual(['warm-1'])
    // on record under the name that a pod made for it would have
    expect(node.task.pods).toEqual([podName(order, 1)])
    expect(node.commands.map((command) => command.do).slice(0, 2)).toEqual(['order', 'hello'])
    expect(orders(node)).toEqual([
      { do: 'order', order, journal: '/var/lib/chaosplane/c/n1/r1/hog' },
    ])
    node.links(order).emit({ fact: 'reverted', task: 'hog', target: 'demo/a', proof: 'p' })
    await session.close(AbortSignal.timeout(20_000))
    expect(node.store.list()).toEqual([])
    expect(node.replaced).toEqual(['n1'])
  })

  it('whose stream breaks says the order again, but not to begin by itself', async () => {
    const { node } = beginWarm()
    await held(node)
    node.says({ terminated: { exitCode: 137 } })
    node.says({ running: {} })
    await until(3000, () => orders(node).length === 2)
    expect(orders(node)[1]?.order).toMatchObject({ start: 'wait', after: 1, attempt: 1 })
  })

  it('that is lost is followed by a pod of the run’s own', async () => {
    const { node } = beginWarm()
    await held(node)
    node.says(undefined)
    await over(node)
    expect(node.created.map(({ metadata }) => metadata.name)).toEqual(['warm-1', podName(order, 2)])
    expect(node.created[1]?.order).toMatchObject({ start: 'wait', targets: [{ touched: true }] })
  })

  it('that another run has claimed gets a pod of its own', async () => {
    const node = new PosedNode([target('targeted')], usual)
    const parts = { ...node.parts(), warm: node.warm('warm-1') }
    await parts.warm.claim({ ...order, run: 'r2' }, AbortSignal.timeout(1000))
    const session = new NodeSession(parts, node.links(order))
    sessions.push(session)
    session.begin()
    await held(node)
    expect(node.created[1]?.metadata.name).toBe(podName(order, 1))
    expect(orders(node)).toEqual([])
  })

  it('that a runner before us has claimed is given its order by us', async () => {
    const { node, session, parts } = beginWarm()
    await held(node)
    await session.leave()
    const heir = new NodeSession({ ...parts, warm: null }, node.links({ ...order, start: 'wait' }))
    sessions.push(heir)
    heir.begin()
    await until(3000, () => orders(node).length === 2)
    expect(orders(node)[1]?.order).toMatchObject({ start: 'wait', after: 1 })
    expect(node.created).toHaveLength(1)
  })
})

describe('a node whose clock differs from the runner’s by', () => {
  const holdMs = 60_000
  /** What the engine makes of its target so long after the end of the hold. */
  const wantsAt = (node: PosedNode, now: number): string[] =>
    decide({
      plan: planOf([taskPlan('hog', { durationMs: holdMs })]),
      state: runState([node.task]),
      now,
      shapeOf,
    }).want.map((action) => action.do)

  async function heldOn(skewMs: number, saysItsTime = true) {
    const node: PosedNode = new PosedNode(
      [target('targeted')],
      (_, say) => {
        const endsAt = node.now() + holdMs
        say({ event: 'injected', target: 'demo/a', evidence: 'burns', endsAt } as never)
        return undefined
      },
      { wave: 1 },
    )
    Object.assign(node, { skewMs, saysItsTime })
    const session = new NodeSession(node.parts(), node.links(order))
    sessions.push(session)
    session.begin()
    await held(node)
    return { node, end: Date.now() + holdMs }
  }

  it.each([-3_600_000, -10_000, 0, 10_000, 3_600_000])(
    '%i ms is not told to stop early, nor late',
    async (skewMs) => {
      const { node, end } = await heldOn(skewMs)
      const [{ endsAt = 0, injectedAt = 0 } = {}] = node.task.targets
      expect(Math.abs(endsAt - end)).toBeLessThan(500)
      expect(Math.abs(injectedAt + holdMs - end)).toBeLessThan(500)
      expect(wantsAt(node, end + 2000)).not.toContain('stop')
      expect(wantsAt(node, end + 4000)).toContain('stop')
    },
  )

  it('10 s and who does not say its time is taken at its word', async () => {
    const { node, end } = await heldOn(10_000, false)
    expect(Math.abs((node.task.targets[0]?.endsAt ?? 0) - end - 10_000)).toBeLessThan(500)
  })

  it('10 s is measured anew by each stream', async () => {
    const { node, end } = await heldOn(-10_000)
    node.skewMs = 10_000
    node.breaks()
    const told = () => node.facts.filter((fact) => fact.fact === 'injected')
    await until(3000, () => told().length > 1)
    for (const { endsAt = 0 } of told()) expect(Math.abs(endsAt - end)).toBeLessThan(500)
  })
})

it.each([
  ['read between question and answer', 1500, 0],
  ['of the same machine, read a moment before', 990, 0],
  ['that is behind', -9000, 11_000],
  ['that is ahead', 12_000, -10_000],
])('a clock %s is corrected by what it is off at the answer', (_, node, ahead) =>
  expect(aheadOf(node, 1000, 2000)).toBe(ahead),
)
