import { expect, it } from 'vitest'
import type { NodeDrainParams } from './index.ts'
import { type DrainedPod, fateOf, whoStays } from './pods.ts'

const all: NodeDrainParams = {
  timeoutMs: 60_000,
  force: true,
  ignoreDaemonSets: true,
  deleteEmptyDirData: true,
}
const owned = (kind: string) => [
  { apiVersion: 'apps/v1', kind, name: 'o', uid: 'u', controller: true },
]
const pod = (metadata: object, rest: object = {}): DrainedPod => ({
  metadata: { name: 'p', namespace: 'demo', uid: 'p', resourceVersion: '1', ...metadata },
  ...rest,
})
const web = pod({ ownerReferences: owned('ReplicaSet') })
const agent = pod({ ownerReferences: owned('DaemonSet') })
const cache = pod(
  { ownerReferences: owned('ReplicaSet') },
  { spec: { volumes: [{ name: 'v', emptyDir: {} }] } },
)
const done = { status: { phase: 'Succeeded' } }

type Case = [DrainedPod, Partial<NodeDrainParams>, string | RegExp]
const cases: Record<string, Case> = {
  'a pod of a workload goes': [web, {}, 'goes'],
  'one without a controller goes by force': [pod({}), {}, 'goes'],
  'and not without': [pod({}), { force: false }, /no controller .* FORCE/],
  'one that has ended goes either way': [pod({}, done), { force: false }, 'goes'],
  'one of a DaemonSet stays': [agent, {}, 'of a DaemonSet'],
  'or is in the way': [agent, { ignoreDaemonSets: false }, /DaemonSet o; set ignoreDaemonSets/],
  'emptyDir data goes with the pod': [cache, {}, 'goes'],
  'or keeps it there': [cache, { deleteEmptyDirData: false }, /emptyDir/],
  'emptyDir of a DaemonSet does not matter': [
    { ...agent, spec: cache.spec ?? {} },
    { deleteEmptyDirData: false },
    'of a DaemonSet',
  ],
  'a static pod stays': [
    pod({ annotations: { 'kubernetes.io/config.mirror': 'x' } }),
    { force: false },
    'of the node itself',
  ],
  'fault pods stay': [
    pod({ labels: { 'chaos.chaosplane.io/part': 'fault-pod' } }),
    {},
    /chaos run/,
  ],
  'the runner stays': [
    pod({
      labels: { 'app.kubernetes.io/name': 'chaosplane' },
      ownerReferences: owned('ReplicaSet'),
    }),
    {},
    'of chaosplane',
  ],
}

it.each(Object.entries(cases))('%s', (_name, [one, over, expected]) => {
  const fate = fateOf(one, { ...all, ...over })
  expect('why' in fate ? fate.why : fate.fate).toMatch(expected)
})

it('counts who stays', () =>
  expect(
    whoStays([web, agent, agent, pod({ labels: { 'chaos.chaosplane.io/part': 'x' } })], all),
  ).toBe('2 of a DaemonSet, 1 of a chaos run'))
