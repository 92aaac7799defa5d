import { afterEach, expect, it } from 'vitest'
import { systemClock } from '../../lib/clock.ts'
import { mayBeOpen } from '../../model/fault-pod-recovery.ts'
import type { RunState } from '../../model/state.ts'
import { decide } from '../engine/decide.ts'
import type { FactBody } from '../engine/fact.ts'
import {
  planOf,
  probeState,
  runState,
  shapeOf,
  target,
  taskPlan,
  taskState,
} from '../engine/testing.ts'
import { until } from '../fault-pod/testing/pod.ts'
import { PosedNode, type Script } from '../hands/testing/posed-node.ts'
import { httpPlan, probeIo } from '../probes/test-plans.ts'
import { resourceOf } from '../run/resource.ts'
import { posedRun } from './testing.ts'

const probe = httpPlan({ responseCode: { criteria: '==', value: '200' } })
const task = taskPlan('hog')
/** A write of status takes so long, milliseconds. */
const writeMs = 20
const ends: AbortController[] = []
afterEach(() => {
  for (const end of ends.splice(0)) end.abort()
})

/**
 * A run whose fault pod is armed while its steady state is still asked. `stored` is what its resource shows at the
 * moment when the program hears the order to go; while `isAway` is true nothing is stored.
 */
function armedRun() {
  const seen = { now: null as RunState | null, atGo: [] as RunState[], isAway: false, asked: 0 }
  const answer = Promise.withResolvers<void>()
  const targets = [target('a', { containerId: 'c' })]
  const script: Script = (_, say) => {
    say({ event: 'armed', target: 'a', facility: 'cgroup' } as never)
    return ({ do: what }) => {
      if (what === 'go') {
        if (seen.now) seen.atGo.push(seen.now)
        const endsAt = Date.now() + 60_000
        say({ event: 'injected', target: 'a', evidence: 'burns', endsAt } as never)
      }
      const isHit = seen.atGo.length > 0
      const proof = 'nothing is left'
      const told = { event: 'reverted', target: 'a', why: 'stop', heldMs: 0, proof } as const
      if (what === 'stop') say({ ...told, ...(isHit ? {} : { untouched: true }) } as never)
    }
  }
  const node = new PosedNode(targets, script)
  const store = async (signal: AbortSignal): Promise<void> => {
    const { state } = loop
    seen.asked++
    await systemClock.sleep(writeMs, signal)
    while (seen.isAway) await systemClock.sleep(10, signal)
    seen.now = structuredClone(state)
  }
  const begun = taskState('hog', {
    stage: 'preparing',
    startedAt: 1,
    prepared: true,
    targets,
    probes: [probeState(probe.name, 'SOT')],
  })
  const parts = node.parts()
  const { loop, actor, end } = posedRun(task, runState([begun]), {
    kube: parts.kube,
    namespace: 'home',
    account: { namespace: 'home', name: 'me' },
    resource: resourceOf('ChaosExperiment', {
      metadata: { name: 'hog', namespace: 'home', uid: 'u', resourceVersion: '1' },
    }),
    durable: store,
  })
  ends.push(end)
  Object.assign(actor.context, {
    cluster: 'c',
    sessions: parts,
    pods: () => parts.podOf,
    warm: () => null,
  })
  Object.assign(actor, {
    stored: store,
    probes: new Map([['hog', [probe]]]),
    probeIo: () =>
      probeIo({
        http: async () => {
          await answer.promise
          return { kind: 'answer', status: 200, body: '', cut: false, tookMs: 1 }
        },
      }),
  })
  const ran = loop.run(AbortSignal.any([end.signal, AbortSignal.timeout(10_000)]))
  const told = () => JSON.stringify({ commands: node.commands, state: loop.state })
  const armed = until(3000, () => node.commands.some((c) => c.do === 'hello'), told)
  return { loop, node, seen, ran, told, armed, pass: () => answer.resolve() }
}

it('nobody is told to go before the record says that the steady state was good and that chaos has begun', async () => {
  const { node, seen, told, armed, pass } = armedRun()
  await armed
  await systemClock.sleep(100, AbortSignal.timeout(1000))
  const from = performance.now()
  pass()
  await until(2000, () => node.commands.some((c) => c.do === 'go'), told)
  expect(performance.now() - from).toBeLessThan(200)
  const [stored] = seen.atGo
  const [run] = stored?.tasks ?? []
  expect(run?.probes[0]).toMatchObject({ pre: 'passed' })
  expect(run?.chaosAt).toBeDefined()
  // The operator takes nothing for untouched that this record shows.
  expect(run?.targets.map((t) => mayBeOpen(t, run))).toEqual([true])
  // And who carries the run on from here asks for no steady state under the fault.
  const next = decide({
    plan: planOf([task]),
    state: { ...(stored as RunState), adoptions: 1 },
    now: Date.now(),
    shapeOf,
  })
  expect(next.want.map((a) => a.do)).toEqual(['attend', 'go'])
})

it.each<[string, FactBody]>([
  ['an abort', { fact: 'aborted', by: 'me' }],
  ['the end of a run whose record is refused', { fact: 'unrecorded', why: 'too large' }],
])('while nothing can be stored nobody is told to go; %s is heard', async (_, ending) => {
  const { loop, node, seen, ran, told, armed, pass } = armedRun()
  await armed
  await systemClock.sleep(100, AbortSignal.timeout(1000))
  seen.isAway = true
  const asked = seen.asked
  pass()
  await until(2000, () => seen.asked > asked, told)
  await systemClock.sleep(150, AbortSignal.timeout(1000))
  expect(node.commands.map((c) => c.do)).not.toContain('go')
  loop.emit(ending)
  await until(3000, () => loop.state.finishedAt !== undefined, told)
  seen.isAway = false
  expect(await ran).toBe('finished')
  expect(node.commands.map((c) => c.do)).not.toContain('go')
  expect(loop.state.tasks[0]?.targets.map((t) => t.state)).toEqual(['untouched'])
})
