import { afterAll, beforeAll, expect, it } from 'vitest'
import { nodeDrain, nodeTaint, scale } from './documents.ts'
import { document, keeper, key, Nodes, soonMs, taint, taintsOf } from './nodes.ts'
import type { World } from './world.ts'

let on: Nodes
let world: World

beforeAll(async () => {
  on = await Nodes.begin()
  world = on.world
})
afterAll(async () => {
  try {
    expect(await on.residue()).toEqual([])
  } finally {
    await on?.end()
  }
})

it('node-taint NoExecute: pods really leave the node, for as long as was asked, and the taints are as before', async () => {
  const before = on.node(on.away).spec.taints
  const at = await on.audited()
  const [lodger] = on.podsOn('lodger', on.away)
  const story = await world.run(document('taint-away', [nodeTaint(on.away, 8, taint('on'))]))
  await story.injected()
  await world.pods.until('the lodgers gone', 10_000, () =>
    world.pods.history.some(
      (s) => s.type === 'DELETED' && s.object.metadata.uid === lodger.metadata.uid,
    ),
  )
  const status = await story.finished()
  expect(status).toMatchObject({ verdict: 'Pass', phase: 'Completed' })
  expect(on.node(on.away).spec.taints).toEqual(before)
  const span = on.spanOf(on.away, story.createdAt, (n) => taintsOf(n).includes(taint('on')))
  expect(span.to - span.from).toBeGreaterThan(7900)
  expect(span.to - span.from).toBeLessThan(8000 + soonMs)
  expect(Math.abs(story.targets[0].heldMs - (span.to - span.from))).toBeLessThan(1500)
  // By the account, and put back by the runner itself.
  const [doer, undoer, ...more] = await on.writersOfNodes(at)
  expect(more).toEqual([])
  expect(doer).toBe(`system:serviceaccount:v2:${keeper}`)
  expect(undoer).toContain('chaosplane-runner')
  await world.ready('lodger', 2)
  expect(await story.residue()).toEqual([])
})

it('node-taint: an abort in mid-hold takes the taint away at once', async () => {
  const story = await world.run(document('taint-abort', [nodeTaint(on.away, 120, taint('abort'))]))
  await story.injected()
  const aborted = Date.now()
  await story.abort()
  await on.nodes.until('the taint gone', soonMs, () => taintsOf(on.node(on.away)).length === 0)
  console.log(`abort to taint gone: ${Date.now() - aborted} ms`)
  expect(await story.finished()).toMatchObject({ verdict: 'Stopped', phase: 'Stopped' })
  expect(await story.residue()).toEqual([])
})

it('node-taint: what somebody else has changed meanwhile stays, and the hold is cut short', async () => {
  const story = await world.run(document('taint-changed', [nodeTaint(on.away, 120, taint('ours'))]))
  await story.injected()
  const theirs = { key, value: 'theirs', effect: 'NoExecute' }
  await on.patch(on.away, { taints: [theirs] })
  try {
    const status = await story.finished()
    expect(status.verdict).toBe('Error')
    expect(status.tasks[0].failStep).toContain('CUT_SHORT')
    expect(story.targets[0].outcome).toBe('changedElsewhere')
    expect(taintsOf(on.node(on.away))).toEqual([taint('theirs')])
  } finally {
    await on.patch(on.away, { taints: null })
  }
  await on.nodes.until('no taints', 5000, () => taintsOf(on.node(on.away)).length === 0)
  await world.ready('lodger', 2)
})

it('node-drain: the pods are gone from the node, those of the product stay, and it is uncordoned', async () => {
  await world.target('guest', 2, { nodeSelector: { 'kubernetes.io/hostname': on.home } })
  const guests = on.podsOn('guest', on.home).map((pod) => pod.metadata.uid)
  const [runner] = world.program('runner')
  const story = await world.run(document('drain-home', [nodeDrain(on.home, 6)]))
  await story.injected()
  const gone = world.pods.history.filter(
    (s) => s.type === 'DELETED' && guests.includes(s.object.metadata.uid),
  )
  expect(new Set(gone.map((s) => s.object.metadata.uid)).size).toBe(2)
  expect(on.node(on.home).spec.unschedulable).toBe(true)
  expect(await on.slots()).toEqual(['cordon'])
  const status = await story.finished()
  expect(status).toMatchObject({ verdict: 'Pass', phase: 'Completed' })
  expect(story.targets[0].evidence).toMatch(/cordoned.* of chaosplane/)
  expect(on.node(on.home).spec.unschedulable).toBeUndefined()
  const [same] = world.program('runner')
  expect(same.metadata.uid).toBe(runner.metadata.uid)
  await world.ready('guest', 2)
  expect(await story.residue()).toEqual([])
})

it('node-drain: a node that was cordoned before stays cordoned', async () => {
  await on.patch(on.away, { unschedulable: true })
  try {
    const story = await world.run(document('drain-cordoned', [nodeDrain(on.away, 3)]))
    expect(await story.finished()).toMatchObject({ verdict: 'Pass' })
    expect(on.podsOn('lodger', on.away)).toEqual([])
    expect(on.node(on.away).spec.unschedulable).toBe(true)
    expect(story.targets[0].proof).toContain('cordoned, as before')
  } finally {
    await on.patch(on.away, { unschedulable: null })
  }
  await world.ready('lodger', 2)
})

it('node-drain: a budget that allows nothing is named, and the node is put back', async () => {
  const name = 'keep-lodgers'
  const policy = '/apis/policy/v1/namespaces/demo/poddisruptionbudgets'
  const selector = { matchLabels: { app: 'lodger' } }
  await world.apply({
    apiVersion: 'policy/v1',
    kind: 'PodDisruptionBudget',
    metadata: { name, namespace: 'demo' },
    spec: { minAvailable: 2, selector },
  })
  try {
    const env = { DRAIN_TIMEOUT: 6 }
    const story = await world.run(document('drain-kept', [nodeDrain(on.away, 30, { env })]))
    const status = await story.finished()
    expect(status.verdict).toBe('Error')
    expect(status.tasks[0].failStep).toMatch(/EFFECT_NOT_SEEN.*demo\/lodger-.*keep-lodgers/s)
    expect(on.node(on.away).spec.unschedulable).toBeUndefined()
    expect(on.podsOn('lodger', on.away).length).toBe(2)
    expect(await story.residue()).toEqual([])
  } finally {
    await world.api.remove(`${policy}/${name}`)
  }
})

it('pod-autoscaler: the replicas come and are ready, and the number from before comes back', async () => {
  await world.target('choir', 1)
  const story = await world.run(document('scale-choir', [scale('choir', 5, { REPLICA_COUNT: 3 })]))
  await story.injected()
  expect((await world.ready('choir', 3)).length).toBe(3)
  expect(await story.finished()).toMatchObject({ verdict: 'Pass' })
  expect(on.deployments.get('demo', 'choir').spec.replicas).toBe(1)
  await world.pods.until('one pod again', 60_000, () => world.podsOf('choir').length === 1)
  expect(await story.residue()).toEqual([])
})

it('pod-autoscaler: replicas that a quota forbids are no effect, and everything is put back', async () => {
  const quota = '/api/v1/namespaces/demo/resourcequotas'
  const there = [...world.pods.objects.values()].filter(
    (p) => p.metadata.namespace === 'demo',
  ).length
  await world.api.create(quota, {
    metadata: { name: 'full' },
    spec: { hard: { pods: String(there) } },
  })
  try {
    const env = { REPLICA_COUNT: 4, STATUS_CHECK_TIMEOUT: 6 }
    const story = await world.run(document('scale-full', [scale('choir', 30, env)]))
    const status = await story.finished()
    expect(status.verdict).toBe('Error')
    expect(status.tasks[0].failStep).toMatch(/EFFECT_NOT_SEEN.*4 are wanted.*exceeded quota/s)
    expect(on.deployments.get('demo', 'choir').spec.replicas).toBe(1)
    expect(await story.residue()).toEqual([])
  } finally {
    await world.api.remove(`${quota}/full`)
  }
})
