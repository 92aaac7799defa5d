import { afterAll, afterEach, beforeAll, expect, it } from 'vitest'
import { systemClock } from '../../lib/clock.ts'
import { nodes, resourcePath } from '../../lib/kube/paths.ts'
import { until } from '../../lib/kube/testing/until.ts'
import { silentLog } from '../../lib/log.ts'
import type { RunState } from '../../model/state.ts'
import { claim, claimOf, letGo } from './claim.ts'
import { StatusKeeper } from './keeper.ts'
import { type Experiment, resourceOf } from './resource.ts'
import { PosedRunner } from './testing/posed-runner.ts'

const other = { pod: 'runner-other', instance: 'life-9' }
/** A pause of the keeper between two attempts, and what the runner needs for one, milliseconds. */
const wouldWriteMs = 3000
let runner: PosedRunner

beforeAll(async () => {
  runner = await PosedRunner.alone('fence-tests', {}, { unruly: true })
})
afterEach(() => runner.proxy.obey())
afterAll(() => runner?.end())

const isWatch = (method: string, url: string): boolean =>
  method === 'GET' && url.includes('watch=true') && url.includes('/chaosexperiments?')
const isRecord = (method: string, url: string): boolean =>
  method === 'PATCH' && url.includes('/chaosexperiments/') && url.includes('/status')

/** Another runner takes the run over. */
async function takeOver(name: string): Promise<Experiment> {
  const object = await runner.experiment(name)
  const resource = resourceOf('ChaosExperiment', object)
  const { kube } = runner
  return (await claim(kube, { resource, object, me: other }, runner.call.signal)) as Experiment
}

/** It puts back what is held, records the end of the run as its own, and lets the resource go. */
async function bringToItsEnd(object: Experiment, node: string): Promise<RunState> {
  const resource = resourceOf('ChaosExperiment', object)
  const { kube, call } = runner
  const path = resourcePath({ ...nodes, name: node })
  await kube.mergePatch(path, { spec: { taints: [] } }, call)
  const run = object.status?.run as RunState
  const at = Date.now()
  const end: RunState = {
    ...run,
    runner: other.pod,
    instance: other.instance,
    adoptions: run.adoptions + 1,
    abort: { by: 'somebody', at },
    finishedAt: at,
    tasks: run.tasks.map((task) => ({
      ...task,
      stage: 'done',
      finishedAt: at,
      targets: task.targets.map((t) => ({ ...t, state: 'reverted', revertedAt: at, proof: 'p' })),
    })),
  }
  const keeper = new StatusKeeper({
    ...{ kube, resource, me: other, clock: systemClock, log: silentLog() },
    claimed: Promise.resolve(),
    onLoss: (why) => expect.unreachable(why),
    room: 900_000,
    onRefused: (why) => expect.unreachable(why),
  })
  keeper.saw(object)
  keeper.offer(end)
  await keeper.durable(AbortSignal.timeout(10_000))
  keeper.close('it has ended')
  await letGo(kube, { resource, seen: null }, call.signal)
  return (await runner.experiment(object.metadata.name)).status?.run as RunState
}

const recordOf = async (name: string): Promise<RunState> =>
  (await runner.experiment(name)).status?.run as RunState

it('a runner that was cut off, and sees a run only when another one has ended it, writes nothing over that', async () => {
  await runner.makeNode('cut')
  await runner.taint('cut-off', { names: ['cut'] })
  await runner.injected('cut-off')
  await until('its record is at rest', async () => {
    const before = (await runner.experiment('cut-off')).metadata.resourceVersion
    await new Promise((done) => setTimeout(done, 1500))
    return (await runner.experiment('cut-off')).metadata.resourceVersion === before
  })
  const { proxy } = runner
  proxy.rule(() => ({ do: 'reset' }))
  proxy.cutWatches('reset')
  const end = await bringToItsEnd(await takeOver('cut-off'), 'cut')
  // What happened meanwhile is not told any more: the runner lists again, and sees how it is now.
  let expired = 0
  proxy.rule((method, url) =>
    isWatch(method, url) && expired++ === 0
      ? { do: 'answer', status: 410, body: '{}' }
      : { do: 'pass' },
  )
  await until('it has looked again', () => expired > 1)
  await new Promise((done) => setTimeout(done, wouldWriteMs))
  expect(await recordOf('cut-off')).toEqual(end)
  expect(claimOf(await runner.experiment('cut-off'))).toBeNull()
  expect(await runner.taints('cut')).toEqual([])
})

it('a runner that has seen the claim of another one writes nothing any more, however long it takes to halt', async () => {
  await runner.makeNode('slow')
  await runner.taint('slow-halt', { names: ['slow'] })
  await runner.injected('slow-halt')
  const { proxy } = runner
  const failing = { do: 'answer', status: 500, body: 'busy' } as const
  proxy.rule((method, url) => (isRecord(method, url) ? failing : { do: 'pass' }))
  await runner.abort('slow-halt')
  // What it owes the record keeps it busy: it waits for that before it gives back what it held.
  await until('it has put the node back', async () => (await runner.taints('slow')).length === 0)
  const end = await bringToItsEnd(await takeOver('slow-halt'), 'slow')
  await new Promise((done) => setTimeout(done, 300))
  proxy.obey()
  await new Promise((done) => setTimeout(done, wouldWriteMs))
  expect(await recordOf('slow-halt')).toEqual(end)
})

it('what another runner holds by now is not let go', async () => {
  await runner.makeNode('kept')
  await runner.taint('kept', { names: ['kept'] })
  await runner.injected('kept')
  const object = await takeOver('kept')
  const resource = resourceOf('ChaosExperiment', object)
  const me = { pod: 'runner-late', instance: 'life-1' }
  await letGo(runner.kube, { resource, seen: null, me }, runner.call.signal)
  const { metadata } = await runner.experiment('kept')
  expect(claimOf({ metadata })).toEqual(other)
  expect(metadata.finalizers).toEqual(object.metadata.finalizers)
})
