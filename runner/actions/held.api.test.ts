import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { KubeClient } from '../../lib/kube/client.ts'
import { KubeError } from '../../lib/kube/errors.ts'
import { kubernetesChaosExperiments, leases, nodes, resourcePath } from '../../lib/kube/paths.ts'
import type { KubeObject } from '../../lib/kube/types.ts'
import type { TaskPlan } from '../../model/plan.ts'
import type { RunState, TargetState } from '../../model/state.ts'
import { apiServer } from '../../test-e2e/setup/worker.ts'
import type { RunLoop } from '../engine/loop.ts'
import { runState, target, taskPlan, taskState } from '../engine/testing.ts'
import { type FaultTest, faultTest } from '../faults/api-testing.ts'
import type { Node } from '../faults/nodes.ts'
import { freeAllSlots } from '../hands/slots.ts'
import { planOfRecord } from '../run/edited.ts'
import { resourceOf } from '../run/resource.ts'
import { posedRun } from './testing.ts'

let on: FaultTest
let count = 0
const key = (n: number) => `chaos-${n}`

beforeAll(async () => {
  on = await faultTest(apiServer().kubeconfig, 'held', [
    { apiGroups: [''], resources: ['nodes'], verbs: ['get', 'patch'] },
  ])
})
afterAll(() => on.kube.close())

const pathOf = (name: string) => resourcePath({ ...nodes, name })
async function makeNode(): Promise<TargetState> {
  const name = `held-${++count}`
  const { metadata } = await on.kube.create<Node>(
    resourcePath(nodes),
    { metadata: { name } },
    { signal: on.signal },
  )
  return target(`node/${name}`, {
    kind: 'Node',
    namespace: '',
    name,
    uid: metadata.uid,
    node: name,
  })
}
/** Without those that the API server itself gives a new node. */
const taintsOf = async ({ name }: TargetState): Promise<string[]> => {
  const node = await on.kube.get<Node>(pathOf(name), { signal: on.signal })
  return (node.spec?.taints ?? [])
    .filter((t) => !t.key.startsWith('node.kubernetes.io/'))
    .map((t) => `${t.key}=${t.value}`)
}
const setTaints = ({ name }: TargetState, taints: object[]) =>
  on.kube.mergePatch(pathOf(name), { spec: { taints } }, { signal: on.signal })

const taskOf = (durationMs: number, taint: string): TaskPlan =>
  taskPlan('taint', {
    fault: 'node-taint',
    params: { taints: [{ key: taint, value: 'on', effect: 'NoSchedule' }] },
    durationMs,
  })
const stateOf = (targets: TargetState[]): RunState =>
  runState([
    taskState('taint', {
      fault: 'node-taint',
      stage: 'chaos',
      prepared: true,
      stageAt: Date.now(),
      chaosAt: Date.now(),
      targets,
    }),
  ])

type Life = {
  kube?: KubeClient
  resource?: { name: string; uid: string }
  gate?: () => Promise<void>
  mayAct?: () => Promise<void>
}

const placeOf = (name?: string): string =>
  resourcePath({
    ...kubernetesChaosExperiments,
    namespace: on.namespace,
    ...(name ? { name } : {}),
  })

/** A resource whose run holds what it has taken: its state has not been written yet. */
async function experiment(name: string): Promise<{ name: string; uid: string }> {
  const body = {
    apiVersion: 'litmuschaos.io/v1alpha1',
    kind: 'KubernetesChaosExperiment',
    metadata: { name },
    spec: {},
  }
  const { metadata } = await on.kube.create<KubeObject>(placeOf(), body, { signal: on.signal })
  return { name, uid: metadata.uid }
}

/** One life of a runner. */
function lifeOf(
  task: TaskPlan,
  state: RunState,
  {
    kube = on.kube,
    resource = { name: 'gone', uid: 'gone' },
    gate = async () => {},
    mayAct = async () => {},
  }: Life = {},
) {
  const { namespace } = on
  const posed = posedRun(task, state, {
    kube,
    namespace,
    account: { namespace, name: 'chaos' },
    resource: resourceOf('KubernetesChaosExperiment', {
      metadata: { ...resource, namespace, resourceVersion: '1' },
    }),
    durable: gate,
    mayAct,
  })
  return { ...posed, ran: posed.loop.run(posed.end.signal) }
}
const targetOf = (loop: RunLoop): TargetState => loop.state.tasks[0]?.targets[0] as TargetState
const until = (what: () => boolean | Promise<boolean>, ms = 10_000) =>
  expect.poll(what, { timeout: ms, interval: 20 }).toBe(true)
const slots = async (): Promise<string[]> => {
  const query = { labelSelector: 'chaos.chaosplane.io/slot=true' }
  const path = resourcePath({ ...leases, namespace: on.namespace })
  const { items } = await on.kube.list<KubeObject>(path, { signal: on.signal, query })
  return items.map((l) => l.metadata.annotations?.['chaos.chaosplane.io/what'] ?? '')
}

/** The API server answers nothing while `away` is true. */
function unruly(): { kube: KubeClient; away(is: boolean): void } {
  let gone = false
  const kube = new Proxy(on.kube, {
    get(of, name) {
      const call = of[name as keyof KubeClient] as (...args: unknown[]) => unknown
      return (...args: unknown[]) => {
        if (!gone) return call(...args)
        throw new KubeError({ status: 0, reason: 'Unreachable', message: 'no answer' })
      }
    },
  })
  return {
    kube,
    away: (is) => {
      gone = is
    },
  }
}

describe('a held fault on a real API server', () => {
  it('is injected, held as long as was asked, put back, and holds its slot no longer', async () => {
    const node = await makeNode()
    const { loop, ran } = lifeOf(taskOf(1500, key(1)), stateOf([node]))
    await until(() => targetOf(loop).state === 'injected')
    expect(await taintsOf(node)).toEqual([`${key(1)}=on`])
    expect(await slots()).toEqual([`taint ${key(1)}:NoSchedule`])
    expect(await ran).toBe('finished')
    expect(await taintsOf(node)).toEqual([])
    expect(await slots()).toEqual([])
    const { state, outcome, heldMs = 0 } = targetOf(loop)
    expect({ state, outcome }).toEqual({ state: 'reverted', outcome: 'restored' })
    expect(heldMs).toBeGreaterThanOrEqual(1500)
    expect(heldMs).toBeLessThan(3500)
    expect(loop.state.tasks[0]?.trouble).toBeUndefined()
  })

  it('aborted while the plan is being stored is put back, and nothing was done', async () => {
    const node = await makeNode()
    const stored = Promise.withResolvers<void>()
    const { loop, ran } = lifeOf(taskOf(60_000, key(2)), stateOf([node]), {
      gate: () => stored.promise,
    })
    await until(() => targetOf(loop).undo !== undefined)
    loop.emit({ fact: 'aborted', by: 'me' })
    stored.resolve()
    expect(await ran).toBe('finished')
    expect(targetOf(loop)).toMatchObject({ state: 'reverted', heldMs: 0 })
    expect(await taintsOf(node)).toEqual([])
    expect(await slots()).toEqual([])
  })

  it('is not injected by a runner that has lost the run after it was allowed to act', async () => {
    const node = await makeNode()
    let asked = 0
    const mayAct = async () => {
      if (++asked === 1) return
      const lost = new Error('another runner holds the run')
      life.end.abort(lost)
      throw lost
    }
    const life = lifeOf(taskOf(60_000, key(90)), stateOf([node]), { mayAct })
    // a write that was under way would have come by then
    await delay(1500)
    expect(await taintsOf(node)).toEqual([])
    expect(asked).toBeGreaterThan(1)
    const next = lifeOf(taskOf(60_000, key(90)), life.loop.state)
    next.loop.emit({ fact: 'aborted', by: 'me' })
    await next.ran
    expect(await slots()).toEqual([])
  })

  it('aborted while the act is under way waits for it and undoes it', async () => {
    const node = await makeNode()
    const [begun, go] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    const kube: KubeClient = {
      ...on.kube,
      mergePatch: async (path, body, call) => {
        if (call.as !== undefined && call.query === undefined) {
          begun.resolve()
          await go.promise
        }
        return on.kube.mergePatch(path, body, call)
      },
    }
    const { loop, ran } = lifeOf(taskOf(60_000, key(10)), stateOf([node]), { kube })
    await begun.promise
    loop.emit({ fact: 'aborted', by: 'me' })
    await delay(300)
    expect(targetOf(loop).state).toBe('targeted')
    go.resolve()
    expect(await ran).toBe('finished')
    expect(targetOf(loop)).toMatchObject({ state: 'reverted', outcome: 'restored' })
    expect(await taintsOf(node)).toEqual([])
  })

  it('one target that cannot be planned: none is touched', async () => {
    const [good, bad] = await Promise.all([makeNode(), makeNode()])
    await setTaints(bad, [{ key: key(3), value: 'on', effect: 'NoSchedule' }])
    const { loop, ran } = lifeOf(taskOf(1000, key(3)), stateOf([good, bad]))
    await ran
    expect(loop.state.tasks[0]).toMatchObject({
      injections: 0,
      trouble: { code: 'CHAOS_INJECT_ERROR' },
      targets: [{ state: 'untouched' }, { state: 'failed' }],
    })
    expect(await taintsOf(good)).toEqual([])
    expect(await slots()).toEqual([])
  })

  it.each([
    ['before the act', false],
    ['after the act', true],
  ])(
    'a runner that dies between plan and record, %s: the next one goes on, and counts from the plan',
    async (_when, acted) => {
      const node = await makeNode()
      const number = acted ? 5 : 4
      const task = taskOf(2500, key(number))
      const before = acted ? [{ key: key(number), value: 'on', effect: 'NoSchedule' }] : []
      await setTaints(node, before)
      const plannedAt = Date.now() - 1000
      const ours = { key: key(number), value: 'on', effect: 'NoSchedule' }
      const undo = { taints: [{ ours, before: null }] }
      const { loop, ran } = lifeOf(task, {
        ...stateOf([{ ...node, undo, plannedAt }]),
        adoptions: 1,
      })
      await until(() => targetOf(loop).state === 'injected')
      expect(await taintsOf(node)).toEqual([`${key(number)}=on`])
      const { injectedAt = 0, endsAt = 0 } = targetOf(loop)
      expect(endsAt - injectedAt).toBeGreaterThanOrEqual(2499)
      if (acted) expect(injectedAt).toBe(plannedAt)
      else expect(injectedAt).toBeGreaterThan(plannedAt + 999)
      expect(await ran).toBe('finished')
      expect(loop.state.tasks[0]?.injections).toBe(1)
      expect(await taintsOf(node)).toEqual([])
    },
  )

  it('is put back within seconds after an API server that was away, which is no trouble', async () => {
    const node = await makeNode()
    const api = unruly()
    const { loop, ran } = lifeOf(taskOf(1000, key(6)), stateOf([node]), { kube: api.kube })
    await until(() => targetOf(loop).state === 'injected')
    api.away(true)
    await delay(6000)
    expect(await taintsOf(node)).toEqual([`${key(6)}=on`])
    api.away(false)
    const back = Date.now()
    await until(async () => (await taintsOf(node)).length === 0)
    expect(Date.now() - back).toBeLessThan(1500)
    expect(await ran).toBe('finished')
    expect(loop.state.tasks[0]?.trouble).toBeUndefined()
    expect(targetOf(loop).heldMs).toBeGreaterThan(6000)
  })

  it('says what is owed with the commands, and is put back once the right to do so is there', async () => {
    const node = await makeNode()
    let forbidden = false
    const kube: KubeClient = {
      ...on.kube,
      mergePatch: async (path, body, call) => {
        if (forbidden && call.as === undefined)
          throw new KubeError({ status: 403, reason: 'Forbidden', message: 'no such right' })
        return on.kube.mergePatch(path, body, call)
      },
    }
    const { loop, ran } = lifeOf(taskOf(500, key(7)), stateOf([node]), { kube })
    await until(() => targetOf(loop).state === 'injected')
    forbidden = true
    await until(() => targetOf(loop).state === 'owed', 15_000)
    expect(targetOf(loop).remaining).toEqual([
      `kubectl taint nodes ${node.name} ${key(7)}:NoSchedule-`,
    ])
    forbidden = false
    expect(await ran).toBe('finished')
    expect(await taintsOf(node)).toEqual([])
    expect(loop.state.tasks[0]?.trouble?.code).toBe('CHAOS_REVERT_ERROR')
  })

  it('that somebody else ends is seen soon, with the seconds that it really had', async () => {
    const node = await makeNode()
    const { loop, ran } = lifeOf(taskOf(60_000, key(8)), stateOf([node]))
    await until(() => targetOf(loop).state === 'injected')
    await setTaints(node, [{ key: key(8), value: 'theirs', effect: 'NoSchedule' }])
    expect(await ran).toBe('finished')
    expect(loop.state.tasks[0]?.trouble?.code).toBe('CUT_SHORT')
    expect(targetOf(loop)).toMatchObject({ state: 'reverted', outcome: 'changedElsewhere' })
    expect(targetOf(loop).heldMs).toBeLessThan(1000)
    expect(await taintsOf(node)).toEqual([`${key(8)}=theirs`])
  })

  it.each([
    ['before the act', 20, 'failed'],
    ['while it is held', 21, 'reverted'],
    ['before it is put back', 22, 'reverted'],
  ])('on a target that goes %s ends as no longer existing', async (when, number, end) => {
    const node = await makeNode()
    const remove = () =>
      on.kube.remove(pathOf(node.name), { signal: on.signal }).catch(() => undefined)
    // What is stored comes before the act, and before it is put back.
    const life = lifeOf(taskOf(60_000, key(number)), stateOf([node]), {
      gate: async () => {
        const { undo, state } = targetOf(life.loop)
        if (when === 'before the act' && undo && state === 'targeted') await remove()
        if (when === 'before it is put back' && life.loop.state.abort) await remove()
      },
    })
    if (end === 'reverted') await until(() => targetOf(life.loop).state === 'injected')
    const from = Date.now()
    if (when === 'while it is held') await remove()
    if (when === 'before it is put back') life.loop.emit({ fact: 'aborted', by: 'me' })
    expect(await life.ran).toBe('finished')
    expect(Date.now() - from).toBeLessThan(5000)
    expect(targetOf(life.loop)).toMatchObject({ state: end, outcome: 'noLongerExists' })
    expect(targetOf(life.loop).remaining).toBeUndefined()
    expect(await slots()).toEqual([])
  })

  it('that is gone when another runner comes after its deadline is no news: it was held, and put back', async () => {
    const node = await makeNode()
    const [injectedAt, endsAt] = [Date.now() - 9000, Date.now() - 4000]
    const ours = { key: key(10), value: 'on', effect: 'NoSchedule' }
    const held: TargetState = {
      ...node,
      state: 'injected',
      undo: { taints: [{ ours, before: null }] },
      plannedAt: injectedAt - 10,
      injectedAt,
      endsAt,
    }
    const { loop, ran } = lifeOf(taskOf(5000, key(10)), { ...stateOf([held]), adoptions: 1 })
    expect(await ran).toBe('finished')
    expect(loop.state.tasks[0]?.trouble).toBeUndefined()
    expect(targetOf(loop)).toMatchObject({ state: 'reverted', outcome: 'restored', heldMs: 5000 })
    expect(await taintsOf(node)).toEqual([])
  })

  it('of a run whose document is gone is put back from its record alone', async () => {
    const node = await makeNode()
    const { loop, end, ran, actor } = lifeOf(taskOf(60_000, key(9)), stateOf([node]))
    await until(() => targetOf(loop).state === 'injected')
    end.abort()
    await ran
    expect(await taintsOf(node)).toEqual([`${key(9)}=on`])
    const { resource, context } = actor
    const metadata = { name: 'gone', uid: 'gone', resourceVersion: '1' }
    const known = { resource, object: { metadata }, faults: context.faults }
    const [task] = planOfRecord(loop.state, known).tasks
    const next = lifeOf(task as TaskPlan, { ...loop.state, adoptions: 1, broken: true })
    expect(await next.ran).toBe('finished')
    expect(next.loop.state.tasks[0]?.trouble).toBeUndefined()
    expect(targetOf(next.loop)).toMatchObject({ state: 'reverted', outcome: 'restored' })
    expect(await taintsOf(node)).toEqual([])
    // by which names it is held is not known any more: the end of the run gives all of them back
    const where = { kube: on.kube, namespace: on.namespace, signal: on.signal }
    await freeAllSlots({ uid: resource.uid, runId: loop.state.runId }, where)
    expect(await slots()).toEqual([])
  })
})

describe('two experiments on one target', () => {
  it('compose with other keys; with the same one the second is refused by the name of the first', async () => {
    const node = await makeNode()
    const first = lifeOf(taskOf(60_000, key(20)), stateOf([node]), {
      resource: await experiment('first'),
    })
    await until(() => targetOf(first.loop).state === 'injected')
    const other = lifeOf(taskOf(800, key(21)), stateOf([node]), {
      resource: await experiment('other'),
    })
    const same = lifeOf(
      {
        ...taskOf(800, key(20)),
        params: { taints: [{ key: key(20), value: 'off', effect: 'NoSchedule' }] },
      },
      stateOf([node]),
      { resource: await experiment('same') },
    )
    await same.ran
    expect(same.loop.state.tasks[0]?.trouble?.reason).toMatch(
      /taint chaos-20:NoSchedule of node\/held-\d+ is held by task taint of KubernetesChaosExperiment .*\/first/,
    )
    await other.ran
    expect(other.loop.state.tasks[0]?.trouble).toBeUndefined()
    expect(await taintsOf(node)).toEqual([`${key(20)}=on`])
    first.loop.emit({ fact: 'aborted', by: 'me' })
    await first.ran
    expect(await taintsOf(node)).toEqual([])
  })

  it('that plan at the same moment: exactly one goes on', async () => {
    const node = await makeNode()
    const lives = await Promise.all(
      [1, 2, 3, 4].map(async (i) => {
        const resource = await experiment(`racer-${count}-${i}`)
        return lifeOf(taskOf(1500, key(30)), stateOf([node]), { resource })
      }),
    )
    await Promise.all(lives.map((l) => l.ran))
    const injections = lives.map((l) => l.loop.state.tasks[0]?.injections)
    expect(injections.sort()).toEqual([0, 0, 0, 1])
    expect(await taintsOf(node)).toEqual([])
    expect(await slots()).toEqual([])
  })

  it('a slot that a run has left behind is taken over', async () => {
    const node = await makeNode()
    const first = lifeOf(taskOf(60_000, key(31)), stateOf([node]), {
      resource: { name: 'forgotten', uid: 'u' },
    })
    await until(() => targetOf(first.loop).state === 'injected')
    first.end.abort()
    await first.ran
    await setTaints(node, [])
    expect(await slots()).toEqual([`taint ${key(31)}:NoSchedule`])
    const second = lifeOf(taskOf(500, key(31)), stateOf([node]), {
      resource: await experiment('second'),
    })
    await second.ran
    expect(second.loop.state.tasks[0]).toMatchObject({ injections: 1 })
    expect(await slots()).toEqual([])
  })
})
