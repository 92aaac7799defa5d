import { afterAll, beforeAll, expect, it } from 'vitest'
import {
  apiVersionOf,
  chaosExperiments,
  events,
  leases,
  resourcePath,
} from '../../lib/kube/paths.ts'
import { type KubeObject, microTime } from '../../lib/kube/types.ts'
import { runFinalizer, runnerLeaseLabel, runnerLeaseName } from '../../model/runner-life.ts'
import { runState } from '../engine/testing.ts'
import { PosedRunner } from './testing/posed-runner.ts'

const namespace = 'unreadable-tests'
let runner: PosedRunner

beforeAll(async () => {
  runner = await PosedRunner.alone(namespace)
})
afterAll(() => runner?.end())

type Told = KubeObject & { reason: string; type: string; note: string; regarding: { uid: string } }

it('a record that cannot be read is told on the resource, once, and nothing is done with it', async () => {
  const { kube, call } = runner
  // another runner holds it for the moment
  const lease = {
    metadata: { name: runnerLeaseName('other'), labels: { [runnerLeaseLabel]: 'true' } },
    spec: { holderIdentity: '1', leaseDurationSeconds: 5, renewTime: microTime(Date.now()) },
  }
  await kube.create(resourcePath({ ...leases, namespace }), lease, call)
  const annotations = { 'chaos.chaosplane.io/claimed-by': 'other/1' }
  const type = { apiVersion: apiVersionOf(chaosExperiments), kind: 'ChaosExperiment' }
  const body = {
    ...type,
    metadata: { name: 'garbled', finalizers: [runFinalizer], annotations },
    spec: {
      duration: '60s',
      target: { kind: 'Node', names: ['a'] },
      action: { type: 'node-taint' },
    },
  }
  const path = resourcePath({ ...chaosExperiments, namespace })
  const made = await kube.create<KubeObject>(path, body, call)
  // more than a number of this program can hold, and nothing that the API server would refuse
  const status = { run: { ...runState([]), adoptions: 2 ** 60 } }
  await kube.mergePatch(`${runner.pathOf('garbled')}/status`, { status }, call)
  const told = async () => {
    const { items } = await kube.list<Told>(resourcePath({ ...events, namespace }), call)
    return items.filter(({ regarding }) => regarding.uid === made.metadata.uid)
  }
  for (const end = Date.now() + 20_000; (await told()).length === 0; ) {
    if (Date.now() > end) throw new Error('nothing was told')
    await new Promise((done) => setTimeout(done, 50))
  }
  // by now its runner counts as dead
  await new Promise((done) => setTimeout(done, 7_000))
  expect(await told()).toMatchObject([
    {
      type: 'Warning',
      reason: 'RecordUnreadable',
      note: expect.stringMatching(/^status.run cannot be read \(status.run.adoptions: .*finalizer/),
    },
  ])
  const after = await runner.experiment('garbled')
  expect(after.metadata.finalizers).toEqual([runFinalizer])
  expect(after.metadata.annotations).toEqual(annotations)
  await kube.mergePatch(runner.pathOf('garbled'), { metadata: { finalizers: [] } }, call)
})
