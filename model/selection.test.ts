import { describe, expect, it } from 'vitest'
import { seededChance } from './chance.ts'
import { ChaosError } from './errors.ts'
import { faultPodLabels } from './fault-pod-spec.ts'
import { matches, parseSelector } from './label-selector.ts'
import type { Selection, WorkloadSelector } from './plan.ts'
import { findTargets, type Look, type SeenPod } from './selection.ts'

type Any = {
  metadata: { name: string; namespace?: string; uid?: string; labels?: Record<string, string> }
}
type World = Record<string, Any[]>

const owner = (apiVersion: string, kind: string, name: string) => ({
  apiVersion,
  kind,
  name,
  uid: `uid-${name}`,
  controller: true,
})

type PodOver = {
  namespace?: string
  labels?: Record<string, string>
  node?: string
  phase?: string
  deleting?: boolean
  uid?: string
  containers?: string[]
}
const pod = (
  name: string,
  by: ReturnType<typeof owner> | null,
  over: PodOver = {},
): SeenPod & Any => {
  const { containers = ['app', 'side'], phase = 'Running' } = over
  return {
    metadata: {
      name,
      namespace: over.namespace ?? 'demo',
      uid: over.uid ?? `uid-${over.namespace ?? 'demo'}-${name}`,
      labels: over.labels ?? { app: 'web' },
      ...(by ? { ownerReferences: [by] } : {}),
      ...(over.deleting ? { deletionTimestamp: '2026-01-01T00:00:00Z' } : {}),
    },
    spec: { nodeName: over.node ?? 'n1', containers: containers.map((c) => ({ name: c })) },
    status: {
      phase,
      containerStatuses: containers.map((c) => ({
        name: c,
        containerID: `containerd://${name}-${c}`,
        state: phase === 'Running' ? { running: {} } : {},
      })),
    },
  }
}

const workload = (
  name: string,
  by: ReturnType<typeof owner> | null = null,
  labels = { app: 'web' },
): Any =>
  ({
    metadata: {
      name,
      namespace: 'demo',
      uid: `uid-${name}`,
      ...(by ? { ownerReferences: [by] } : {}),
    },
    spec: { selector: { matchLabels: labels } },
  }) as Any

/** A small cluster that counts what it is asked. */
function lookAt(world: World): Look & { asked: string[] } {
  const asked: string[] = []
  const of = (kind: string, namespace: string): Any[] =>
    (world[kind] ?? []).filter((o) => namespace === '' || o.metadata.namespace === namespace)
  return {
    asked,
    async get<T>(kind: string, namespace: string, name: string) {
      asked.push(`get ${kind} ${name}`)
      return of(kind, namespace).find((o) => o.metadata.name === name) as T | undefined
    },
    async list<T>(kind: string, namespace: string, labels: string) {
      asked.push(`list ${kind} ${labels}`)
      const wanted = parseSelector(labels)
      return of(kind, namespace).filter((o) => matches(wanted, o.metadata.labels ?? {})) as T[]
    },
  }
}

const rs = (name: string) => owner('apps/v1', 'ReplicaSet', name)
const web = owner('apps/v1', 'Deployment', 'web')
const world: World = {
  deployment: [workload('web'), workload('other')],
  replicaset: [
    workload('web-1', web),
    workload('other-1', owner('apps/v1', 'Deployment', 'other')),
    workload('bare'),
  ],
  statefulset: [workload('db', null, { app: 'db' })],
  rollout: [workload('roll')],
  deploymentconfig: [{ ...workload('dc'), spec: { selector: { app: 'web' } } } as Any],
  replicationcontroller: [
    workload('dc-1', owner('apps.openshift.io/v1', 'DeploymentConfig', 'dc')),
  ],
  node: [
    { metadata: { name: 'n1', labels: { zone: 'a' } } },
    { metadata: { name: 'n2', labels: { zone: 'b' } } },
  ],
  pod: [
    pod('web-1-a', rs('web-1')),
    pod('web-1-b', rs('web-1'), { node: 'n2' }),
    pod('web-1-c', rs('web-1'), { labels: { app: 'web', tier: 'front' } }),
    pod('web-1-gone', rs('web-1'), { deleting: true }),
    pod('web-1-done', rs('web-1'), { phase: 'Succeeded' }),
    pod('web-1-ours', rs('web-1'), { labels: { app: 'web', [faultPodLabels.run]: 'r' } }),
    pod('web-1-waits', rs('web-1'), { labels: { app: 'web', [faultPodLabels.part]: 'fault-pod' } }),
    pod('other-1-a', rs('other-1')),
    pod('bare-a', rs('bare')),
    pod('db-0', owner('apps/v1', 'StatefulSet', 'db'), { labels: { app: 'db' } }),
    pod('dc-1-a', owner('v1', 'ReplicationController', 'dc-1')),
    pod('alone', null),
    pod('alone', null, { namespace: 'other' }),
  ],
}

const entry = (over: Partial<WorkloadSelector>): WorkloadSelector => ({
  kind: 'deployment',
  namespace: 'demo',
  names: [],
  labels: '',
  ...over,
})
const selection = (
  workloads: Partial<WorkloadSelector>[],
  over: Partial<Selection> = {},
): Selection => ({
  workloads: workloads.map(entry),
  pods: [],
  nodes: [],
  nodeLabel: '',
  container: '',
  share: 'all',
  ...over,
})
const find = (s: Selection, of = world, seed = 1) =>
  findTargets(s, lookAt(of), seededChance(seed, ''))
const names = async (s: Selection, of = world): Promise<string[]> =>
  (await find(s, of)).map((t) => `${t.namespace}/${t.pod}`).sort()

it('a later wave passes over named pods that are gone, and says when none is left', async () => {
  const later = (s: Selection) =>
    findTargets(s, { ...lookAt(world), later: true }, seededChance(1, ''))
  const some = selection([{}], { pods: ['web-1-a', 'web-1-lost'] })
  await expect(find(some)).rejects.toThrow('there is no pod web-1-lost')
  expect((await later(some)).map((t) => t.pod)).toEqual(['web-1-a'])
  const none = later(selection([{}], { pods: ['web-1-lost'] }))
  await expect(none).rejects.toThrow('none of the pods web-1-lost is left')
})

describe('choosing targets', () => {
  const cases: [string, Selection, string[]][] = [
    [
      'a deployment by name, and only its own pods',
      selection([{ names: ['web'] }]),
      ['demo/web-1-a', 'demo/web-1-b', 'demo/web-1-c'],
    ],
    [
      'names and labels: both must hold',
      selection([{ names: ['web'], labels: 'tier=front' }]),
      ['demo/web-1-c'],
    ],
    [
      'labels, filtered by kind of the owner',
      selection([{ labels: 'app=web' }]),
      ['demo/other-1-a', 'demo/web-1-a', 'demo/web-1-b', 'demo/web-1-c'],
    ],
    [
      'a comma in labels means and',
      selection([{ kind: 'any', labels: 'app=web,tier=front' }]),
      ['demo/web-1-c'],
    ],
    [
      'entries are united without twins',
      selection([
        { names: ['web'] },
        { kind: 'any', labels: 'tier=front' },
        { kind: 'statefulset', names: ['db'] },
      ]),
      ['demo/db-0', 'demo/web-1-a', 'demo/web-1-b', 'demo/web-1-c'],
    ],
    ['a statefulset', selection([{ kind: 'statefulset', labels: 'app=db' }]), ['demo/db-0']],
    [
      'a replicaset that nobody owns',
      selection([{ kind: 'replicaset', names: ['bare'] }]),
      ['demo/bare-a'],
    ],
    [
      'a deploymentconfig',
      selection([{ kind: 'deploymentconfig', names: ['dc'] }]),
      ['demo/dc-1-a'],
    ],
    [
      'pods of one name in two namespaces are two',
      selection([
        { kind: 'pod', names: ['alone'] },
        { kind: 'pod', namespace: 'other', names: ['alone'] },
      ]),
      ['demo/alone', 'other/alone'],
    ],
    [
      'TARGET_PODS, whatever the share and node',
      selection([{ names: ['web'] }], {
        pods: ['alone', 'db-0'],
        share: 'one',
        nodeLabel: 'zone=b',
      }),
      ['demo/alone', 'demo/db-0'],
    ],
    ['nodes by label', selection([{ names: ['web'] }], { nodeLabel: 'zone=b' }), ['demo/web-1-b']],
    [
      'pods by name are all of them',
      selection([{ kind: 'pod', names: ['alone', 'db-0'] }], { share: 'one' }),
      ['demo/alone', 'demo/db-0'],
    ],
  ]
  it.each(cases)('%s', async (_name, s, expected) => expect(await names(s)).toEqual(expected))

  it('takes the share of the union, at least one', async () => {
    const both = [{ names: ['web'] }, { names: ['other'] }]
    for (const [share, count] of [
      ['one', 1],
      [1, 1],
      [50, 2],
      [99, 3],
      [100, 4],
      ['all', 4],
    ] as const)
      expect((await find(selection(both, { share }))).length).toBe(count)
  })

  it('chooses the same for the same seed, and every pod for some seed', async () => {
    const one = selection([{ names: ['web'] }], { share: 'one' })
    const hit = new Set<string>()
    for (let seed = 0; seed < 60; seed++) {
      const [first, again] = [await find(one, world, seed), await find(one, world, seed)]
      expect(first).toEqual(again)
      hit.add(first[0]?.pod ?? '')
    }
    expect([...hit].sort()).toEqual(['web-1-a', 'web-1-b', 'web-1-c'])
  })

  it('takes running pods first', async () => {
    const starting = pod('web-1-0', rs('web-1'), { phase: 'Pending' })
    const of = { ...world, pod: [starting, ...(world['pod'] ?? [])] }
    const three = selection([{ names: ['web'] }], { share: 75 })
    expect(await names(three, of)).toEqual(['demo/web-1-a', 'demo/web-1-b', 'demo/web-1-c'])
  })

  it('takes the first by name, in that order, when it is told to', async () => {
    const of = async (order: 'alphabetical' | 'reverse', share: Selection['share'] = 'all') =>
      (await find(selection([{ names: ['web'] }], { order, share }))).map((t) => t.pod)
    expect(await of('alphabetical')).toEqual(['web-1-a', 'web-1-b', 'web-1-c'])
    expect(await of('reverse')).toEqual(['web-1-c', 'web-1-b', 'web-1-a'])
    expect(await of('alphabetical', 67)).toEqual(['web-1-a', 'web-1-b'])
    expect(await of('reverse', 'one')).toEqual(['web-1-c'])
    const named = selection([{ kind: 'pod', names: ['db-0', 'alone'] }], { order: 'reverse' })
    expect((await find(named)).map((t) => t.pod)).toEqual(['db-0', 'alone'])
  })

  it('gives container, bare id, node, uid and owner', async () => {
    const [first] = await find(
      selection([{ names: ['web'] }], { container: 'side', nodeLabel: 'zone=b' }),
    )
    expect(first).toEqual({
      namespace: 'demo',
      pod: 'web-1-b',
      podUid: 'uid-demo-web-1-b',
      node: 'n2',
      container: 'side',
      containerId: 'web-1-b-side',
      ownerKind: 'Deployment',
      ownerName: 'web',
    })
  })

  it('needs three reads for a deployment by name', async () => {
    const look = lookAt(world)
    await findTargets(selection([{ names: ['web'] }]), look, seededChance(1, ''))
    expect(look.asked.filter((a) => !a.startsWith('get replicaset'))).toEqual([
      'get deployment web',
      'list pod app=web',
    ])
    const own = {
      ...world,
      pod: (world['pod'] ?? []).filter((p) => p.metadata.name.startsWith('web')),
    }
    const quiet = lookAt(own)
    await findTargets(selection([{ names: ['web'] }]), quiet, seededChance(1, ''))
    expect(quiet.asked.length).toBe(3)
  })
})

describe('refusals', () => {
  const cases: [string, Selection, RegExp][] = [
    [
      'a workload that is not there',
      selection([{ names: ['web', 'wbe'] }]),
      /no deployment wbe in the namespace demo/,
    ],
    [
      'a pod that is not there',
      selection([{}], { pods: ['alone', 'nobody'] }),
      /no pod nobody in the namespace demo/,
    ],
    [
      'a pod that is being deleted',
      selection([{}], { pods: ['web-1-gone'] }),
      /web-1-gone .* being deleted/,
    ],
    [
      'one of our own pods',
      selection([{ kind: 'pod', names: ['web-1-ours'] }]),
      /belongs to this product/,
    ],
    [
      'nothing that matches',
      selection([{ kind: 'any', labels: 'app=nothing' }]),
      /no pod matches kind any, namespace demo, labels app=nothing/,
    ],
    [
      'no node that matches',
      selection([{ names: ['web'] }], { nodeLabel: 'zone=z' }),
      /on nodes with zone=z/,
    ],
    [
      'a container that is not there',
      selection([{ names: ['web'] }], { container: 'nope' }),
      /no container nope; it has app, side/,
    ],
  ]
  it.each(cases)('%s', async (_name, s, reason) => {
    const thrown = await find(s).catch((error: unknown) => error)
    expect(thrown).toBeInstanceOf(ChaosError)
    expect((thrown as ChaosError).code).toBe('TARGET_SELECTION_ERROR')
    expect((thrown as ChaosError).message).toMatch(reason)
  })

  it('leaves the container id out while the container does not run', async () => {
    const of = { ...world, pod: [pod('web-1-x', rs('web-1'), { phase: 'Pending' })] }
    expect((await find(selection([{ names: ['web'] }]), of))[0]?.containerId).toBe(undefined)
  })
})
