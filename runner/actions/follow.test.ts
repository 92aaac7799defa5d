import { expect, it } from 'vitest'
import type { KubeClient } from '../../lib/kube/client.ts'
import type { Caps } from '../../model/caps.ts'
import type { RunState } from '../../model/state.ts'
import { runState, target, taskPlan, taskState } from '../engine/testing.ts'
import { resourceOf } from '../run/resource.ts'
import type { Actor } from './actor.ts'
import { follow } from './follow.ts'
import { posedRun, unprotected } from './testing.ts'

const none = unprotected.caps
const present = (names: string[]) =>
  names.map((name) => ({ ...target(name), container: 'app', containerId: `c-${name}` }))

/** A task that holds `a`, and finds a, b, c and d for some looks. */
async function looks(
  caps: Partial<Caps>,
  over: Partial<typeof unprotected> = {},
  { fault = 'pod-cpu-hog', found = present(['a', 'b', 'c', 'd']) } = {},
) {
  const task = taskPlan('t', {
    fault,
    dynamic: true,
    selection: { ...taskPlan('t').selection, share: 'all' },
  })
  const now = Date.now()
  const [first] = present(['a'])
  const held = { ...first, state: 'injected' as const, endsAt: now + 60_000 }
  const state = taskState('t', {
    dynamic: true,
    stage: 'chaos',
    wave: 1,
    injections: 1,
    chaosAt: now,
    targets: [held as RunState['tasks'][0]['targets'][0]],
  })
  const { loop, actor } = posedRun(task, runState([state]), {
    kube: {} as KubeClient,
    namespace: 'x',
    account: { namespace: 'x', name: 'a' },
    resource: resourceOf('ChaosExperiment', {
      metadata: { name: 'x', namespace: 'x', uid: 'u', resourceVersion: '1' },
    }),
    protection: {
      ...unprotected,
      clusterSize: async () => 10,
      caps: { ...none, ...caps },
      ...over,
    },
  })
  const posed: Actor = { ...actor, presentTargets: async () => found }
  const io = { emit: loop.emitQuietly.bind(loop), signal: AbortSignal.timeout(1700) }
  await follow({ do: 'follow', task: 't' }, posed, io)
  const [after] = loop.state.tasks
  return { hit: after?.targets.map((t) => t.id) ?? [], capped: after?.capped }
}

it('without caps, whoever comes is hit', async () => {
  const { hit, capped } = await looks({})
  expect(hit.sort()).toEqual(['a', 'b', 'c', 'd'])
  expect(capped).toBeUndefined()
})
it.each([
  ['the experiment', { perExperiment: 3 }, 3, /perExperiment of the chart is 3, and \d are taken/],
  ['the cluster', { perCluster: 2 }, 2, /perCluster of the chart is 2, and \d are taken/],
  [
    'the share of the cluster',
    { percentOfCluster: 30 },
    3,
    /percentOfCluster of the chart is 30, of 10 pods in the cluster, and \d are taken/,
  ],
  ['the share', { percent: 50 }, 2, /percent of the chart is 50, of 4 that could be chosen/],
])(
  'beyond the cap of %s they are left alone, and the record says so',
  async (_what, caps, n, why) => {
    const { hit, capped } = await looks(caps)
    expect(hit).toHaveLength(n)
    expect(capped).toMatch(why)
  },
)
it.concurrent.each([
  ['pod-cpu-hog', ['a', 'a']],
  ['pod-network-loss', ['a']],
  ['pod-network-latency', ['a']],
  ['pod-network-partition', ['a']],
])('a pod that is held, and whose container was started again: %s hits %s', async (fault, ids) => {
  const [pod] = present(['a'])
  const found = [{ ...pod, containerId: 'another' }] as ReturnType<typeof present>
  const { hit } = await looks({}, {}, { fault, found })
  expect(hit).toEqual(ids)
})
it('in a namespace that is protected meanwhile nobody is added', async () => {
  const namespaces = { ...unprotected.namespaces, isLabelled: () => true }
  const { hit, capped } = await looks({}, { namespaces })
  expect(hit).toHaveLength(1)
  expect(capped).toContain('protected by its label')
})
