import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { reportsOf } from '../../watchers/peers.ts'
import { nodeDrain, nodeTaint } from '../documents.ts'
import { document, Nodes, soonMs, taint, taintsOf } from '../nodes.ts'
import { setValues } from '../release.ts'
import type { Story, World } from '../world.ts'

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

const verdicts = (story: Story): string[] => [
  ...new Set(
    story.history
      .map(({ object }) => object.status?.verdict)
      .filter((v) => v !== undefined && v !== '' && v !== 'Awaited'),
  ),
]

it.each([
  ['node-taint', () => nodeTaint(on.away, 30, taint('no'))],
  ['node-drain', () => nodeDrain(on.away, 30)],
])('%s: an account without the right is told which, and nothing is done', async (fault, task) => {
  const at = await on.audited()
  const from = Date.now()
  const looker = { serviceAccountName: 'node-looker' }
  const story = await world.run(document(`no-right-${fault}`, [task()], looker))
  const status = await story.finished()
  expect(status.verdict).toBe('Error')
  expect(status.tasks[0].failStep).toMatch(
    /MISSING_RIGHT.*v2\/node-looker may not (patch|create) (nodes|pods\/eviction)/,
  )
  expect(await on.writersOfNodes(at)).toEqual([])
  expect(on.spanOf(on.away, from, (n) => taintsOf(n).length > 0 || n.spec.unschedulable)).toEqual({
    from: 0,
    to: 0,
  })
  expect(await story.residue()).toEqual([])
})

it('an account that is deleted in mid-hold does not keep the node from being put back', async () => {
  await on.makeAccount('node-brief', true)
  const brief = { serviceAccountName: 'node-brief' }
  const story = await world.run(
    document('taint-brief', [nodeTaint(on.away, 5, taint('brief'))], brief),
  )
  await story.injected()
  await world.api.remove('/api/v1/namespaces/v2/serviceaccounts/node-brief')
  await world.api.remove('/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/story-node-brief')
  expect(await story.finished()).toMatchObject({ verdict: 'Pass' })
  expect(taintsOf(on.node(on.away))).toEqual([])
  expect(await story.residue()).toEqual([])
})

it('a runner that is killed in mid-hold is replaced: same deadline, one injection, one verdict', async () => {
  const at = await on.audited()
  const story = await world.run(document('taint-orphan', [nodeTaint(on.away, 8, taint('orphan'))]))
  await story.injected()
  const { endsAt } = await story.until('the deadline on record', 5000, ({ targets }) =>
    targets.find((t) => t.endsAt),
  )
  const [runner] = world.program('runner')
  await story.losesRunner(runner)
  const status = await story.finished()
  const span = on.spanOf(on.away, story.createdAt, (n) => taintsOf(n).includes(taint('orphan')))
  expect(Math.abs(span.to - endsAt)).toBeLessThan(soonMs)
  expect(status).toMatchObject({ verdict: 'Pass', phase: 'Completed' })
  expect(status.run.tasks[0].injections).toBe(1)
  expect((await on.writersOfNodes(at)).length).toBe(2)
  expect(verdicts(story)).toEqual(['Pass'])
  const last = () =>
    reportsOf(world.recorder, status.run.runId).filter((r) => r.args.completed === 'true')
  await expect.poll(() => last().length, { timeout: 10_000 }).toBe(1)
  expect(await story.residue()).toEqual([])
})

it('a runner that is killed and comes back past the deadline puts the node back at once', async () => {
  const story = await world.run(document('taint-late', [nodeTaint(on.away, 3, taint('late'))]))
  const { endsAt } = await story.until('the deadline on record', 30_000, ({ targets }) =>
    targets.find((t) => t.endsAt),
  )
  const [runner] = world.program('runner')
  world.kill(runner, 'runner.cjs')
  const back = await world.pods.until('the runner started again', 60_000, () => {
    const [now] = world.program('runner')
    const [status] = now?.status.containerStatuses ?? []
    const before = runner.status.containerStatuses[0].restartCount
    return status?.restartCount > before && status.state.running && Date.now()
  })
  await on.nodes.until(
    'the taint gone',
    soonMs + Math.max(0, endsAt - back),
    () => taintsOf(on.node(on.away)).length === 0,
  )
  console.log(`runner back to taint gone: ${Date.now() - Math.max(back, endsAt)} ms`)
  expect(await story.finished()).toMatchObject({ verdict: 'Pass' })
  expect(await story.residue()).toEqual([])
})

it('an API server that is away past the deadline delays the end, and is no error', async () => {
  const story = await world.run(document('taint-api', [nodeTaint(on.away, 6, taint('api'))]))
  const { endsAt } = await story.until('the deadline on record', 30_000, ({ targets }) =>
    targets.find((t) => t.endsAt),
  )
  await world.cluster.kill('kube-apiserver')
  try {
    await delay(Math.max(0, endsAt + 4000 - Date.now()))
  } finally {
    await world.cluster.start('kube-apiserver')
  }
  const back = Date.now()
  await expect
    .poll(async () => taintsOf(await world.api.get(`/api/v1/nodes/${on.away}`)), {
      timeout: soonMs + 2000,
      interval: 50,
    })
    .toEqual([])
  console.log(`API server back to taint gone: ${Date.now() - back} ms`)
  expect(Date.now() - back).toBeLessThan(soonMs)
  const status = await story.finished()
  expect(status).toMatchObject({ verdict: 'Pass', phase: 'Completed' })
  expect(story.targets[0].heldMs).toBeGreaterThan(9000)
  expect(await story.residue()).toEqual([])
})

it('two experiments on one node: other taints compose, a second drain is refused by the name of the first', async () => {
  const first = await world.run(document('drain-first', [nodeDrain(on.away, 60)]))
  await first.injected()
  const tainted = await world.run(
    document('taint-beside', [nodeTaint(on.away, 2, taint('beside'))]),
  )
  const second = await world.run(document('drain-second', [nodeDrain(on.away, 2)]))
  expect(await tainted.finished()).toMatchObject({ verdict: 'Pass' })
  const status = await second.finished()
  expect(status.verdict).toBe('Error')
  expect(status.tasks[0].failStep).toMatch(/cordon of node.* is held by .*v2\/drain-first/)
  expect(on.node(on.away).spec.unschedulable).toBe(true)
  await first.abort()
  await first.finished()
  expect(on.node(on.away).spec.unschedulable).toBeUndefined()
  await world.ready('lodger', 2)
})

it('of two runners the other one takes over as soon as the first one does not run', async () => {
  await setValues(on.world, 'runner.replicas=2')
  try {
    await world.pods.until('two runners', 30_000, () => world.program('runner').length === 2)
    const story = await world.run(document('taint-pair', [nodeTaint(on.away, 20, taint('pair'))]))
    await story.injected()
    const claim = story.object.metadata.annotations['chaos.chaosplane.io/claimed-by']
    const holder = world.program('runner').find((pod) => claim.startsWith(`${pod.metadata.name}/`))
    const { killed, adopted } = await story.losesRunner(holder, 'one of two runners')
    expect(adopted - killed).toBeLessThan(4000)
    await story.abort()
    expect(await story.finished()).toMatchObject({ verdict: 'Stopped' })
    expect(await story.residue()).toEqual([])
  } finally {
    await setValues(on.world, 'runner.replicas=1')
  }
})
