import { describe, expect, it } from 'vitest'
import { tightest, whyTooMany } from './caps.ts'
import {
  type GuardedPod,
  type MinHealthy,
  whyTooFew,
  whyTooSmall,
  workloadOf,
} from './min-healthy.ts'
import type { Plan, TaskPlan } from './plan.ts'
import {
  isProtected,
  type NamespaceRules,
  protectedLabel,
  protectedTargets,
  whyNamespaceIsProtected,
  whyNodeIsProtected,
} from './protection.ts'

const rules = (over: Partial<NamespaceRules> = {}): NamespaceRules => ({
  own: 'chaosplane',
  allowed: [],
  denied: ['kube-system'],
  isLabelled: (namespace) => namespace === 'labelled',
  ...over,
})

describe('namespaces', () => {
  it.each([
    ['demo', {}, null],
    ['kube-system', {}, 'protection.namespaces.deny of the chart is kube-system'],
    ['kube-system', { denied: [] }, null],
    ['chaosplane', { denied: [], allowed: ['chaosplane'] }, 'namespace of chaosplane itself'],
    ['labelled', {}, `protected by its label ${protectedLabel}`],
    ['labelled', { allowed: ['labelled'] }, `protected by its label ${protectedLabel}`],
    ['demo', { allowed: ['demo', 'shop'] }, null],
    ['bank', { allowed: ['demo', 'shop'] }, 'allow of the chart is demo, shop'],
    ['demo', { allowed: ['demo'], denied: ['demo'] }, 'deny of the chart is demo'],
  ])('%s with %j', (namespace, over, why) => {
    const found = whyNamespaceIsProtected(namespace, rules(over))
    if (why === null) expect(found).toBeNull()
    else expect(found?.reason).toContain(why)
  })

  it.each([
    [undefined, false],
    [{}, false],
    [{ [protectedLabel]: 'true' }, true],
    [{ [protectedLabel]: '' }, true],
    [{ [protectedLabel]: 'False' }, false],
  ])('the label %j', (labels, is) => expect(isProtected(labels)).toBe(is))

  it('a plan is refused by the place where the namespace is written, once for each', () => {
    const task = (name: string, ...namespaces: string[]) =>
      ({
        name,
        selection: { workloads: namespaces.map((namespace) => ({ namespace })) },
      }) as TaskPlan
    const plan = {
      dialect: 'KubernetesChaosExperiment',
      tasks: [task('a', 'demo'), task('b', 'kube-system', 'kube-system', 'labelled')],
    } as Plan
    const path = 'spec.tasks[name=b].definition.targets'
    expect(protectedTargets(plan, rules()).map((r) => [r.path, r.suggestion])).toEqual([
      [path, 'aim at another namespace, or have the list changed'],
      [path, 'aim at another namespace, or have its owner set the label to false'],
    ])
    const other = { dialect: 'ChaosExperiment', tasks: [task('a', 'chaosplane')] } as Plan
    expect(protectedTargets(other, rules())[0]?.path).toBe('spec.target.namespace')
  })
})

describe('nodes', () => {
  const control = { 'node-role.kubernetes.io/control-plane': '' }
  const labelled = { [protectedLabel]: 'true' }
  it.each([
    ['any node', undefined, false, false, null],
    ['of the control plane', control, false, false, /control plane, which is hit only by name/],
    ['of the control plane, by name', control, true, false, null],
    ['of the product', {}, false, true, /runs chaosplane itself/],
    ['of the product, by name', {}, true, true, null],
    ['with the label', labelled, false, false, /protected by its label/],
    ['with the label, by name', labelled, true, false, /protected by its label/],
  ])('%s', (_what, labels, isNamed, hostsProduct, why) => {
    const found = whyNodeIsProtected({ name: 'n1', labels }, { isNamed, hostsProduct })
    if (why === null) expect(found).toBeNull()
    else expect(found).toMatch(why)
  })
})

describe('caps', () => {
  const none = { perExperiment: null, percent: null, perCluster: null, percentOfCluster: null }
  const alone = { ofExperiment: 0, ofOthers: 0, candidates: 10, held: 0, cluster: null }
  const tenth = { ...none, percentOfCluster: 10 }
  const cluster = (size: number, held: number, of: 'pods' | 'nodes' = 'pods') => ({
    ...{ size, held, of },
  })
  it.each([
    ['no cap', 200, none, alone, null],
    ['as many as the cap', 3, { ...none, perExperiment: 3 }, alone, null],
    [
      'one more',
      4,
      { ...none, perExperiment: 3 },
      alone,
      /perExperiment of the chart is 3: choose at most 3/,
    ],
    [
      'with those of another task',
      2,
      { ...none, perExperiment: 3 },
      { ...alone, ofExperiment: 2 },
      /is 3, and 2 are taken: choose at most 1/,
    ],
    ['a share', 5, { ...none, percent: 50 }, alone, null],
    [
      'more than the share',
      6,
      { ...none, percent: 50 },
      alone,
      /percent of the chart is 50, of 10 that could/,
    ],
    ['the rest of a share', 3, { ...none, percent: 50 }, { ...alone, held: 3 }, /choose at most 2/],
    ['one is always allowed', 1, { ...none, percent: 1 }, { ...alone, candidates: 3 }, null],
    ['names have no share', 9, { ...none, percent: 1 }, { ...alone, candidates: null }, null],
    [
      'the cluster is full',
      1,
      { ...none, perCluster: 4 },
      { ...alone, ofExperiment: 1, ofOthers: 3 },
      /perCluster of the chart is 4, and 4 are taken: wait until others have ended/,
    ],
    ['a share of the cluster', 3, tenth, { ...alone, cluster: cluster(39, 0) }, null],
    [
      'more than the share of the cluster',
      4,
      tenth,
      { ...alone, cluster: cluster(39, 0) },
      /percentOfCluster of the chart is 10, of 39 pods in the cluster: choose at most 3 /,
    ],
    [
      'the share of the cluster is taken',
      1,
      tenth,
      { ...alone, cluster: cluster(20, 2, 'nodes') },
      /is 10, of 20 nodes in the cluster, and 2 are taken: wait until others have ended/,
    ],
    ['one of a small cluster is allowed', 1, tenth, { ...alone, cluster: cluster(3, 0) }, null],
    [
      'and a second one is not',
      1,
      tenth,
      { ...alone, cluster: cluster(3, 1) },
      /of 3 pods in the cluster, and 1 are taken: wait/,
    ],
    ['workloads are no share of it', 9, tenth, alone, null],
    [
      'the tightest counts',
      4,
      { ...none, perExperiment: 9, percent: 30, perCluster: 8 },
      alone,
      /percent of the chart is 30/,
    ],
  ])('%s', (_what, count, caps, standing, why) => {
    const found = whyTooMany(count, caps, standing)
    if (why === null) expect(found).toBeNull()
    else expect(found).toMatch(why)
  })
  it('without a cap there is room for all', () =>
    expect(tightest(none, alone).room).toBe(Number.POSITIVE_INFINITY))
})

const pod = (name: string, over: { owner?: string; ready?: boolean; phase?: string } = {}) => {
  const { owner = 'web-5d9c', ready = true, phase = 'Running' } = over
  return {
    metadata: {
      name,
      namespace: 'demo',
      uid: name,
      labels: { 'pod-template-hash': owner.split('-')[1] ?? '' },
      ownerReferences: [{ kind: 'ReplicaSet', name: owner, controller: true }],
    },
    status: { phase, conditions: [{ type: 'Ready', status: ready ? 'True' : 'False' }] },
  } satisfies GuardedPod
}

describe('the workload of a pod', () => {
  it('is the Deployment, also in a rollout', () => {
    expect(workloadOf(pod('a'))).toBe('Deployment/demo/web')
    expect(workloadOf(pod('a', { owner: 'web-77ff' }))).toBe('Deployment/demo/web')
  })
  it('is the controller itself otherwise, or nobody', () => {
    const metadata = {
      name: 'a',
      namespace: 'demo',
      ownerReferences: [{ kind: 'StatefulSet', name: 'db', controller: true }],
    }
    expect(workloadOf({ metadata })).toBe('StatefulSet/demo/db')
    expect(workloadOf({ metadata: { name: 'a' } })).toBeNull()
  })
})

describe('minimum healthy', () => {
  const three = ['a', 'b', 'c'].map((name) => pod(name))
  const table: [
    string,
    MinHealthy,
    { pods?: GuardedPod[]; hit: string[]; held?: string[] },
    RegExp | null,
  ][] = [
    ['nobody asks', null, { hit: ['a', 'b', 'c'] }, null],
    ['one stays', { pods: 1 }, { hit: ['a', 'b'] }, null],
    [
      'none stays',
      { pods: 1 },
      { hit: ['a', 'b', 'c'] },
      /0 of the 3 pods of Deployment\/demo\/web would stay ready, 3 are now; .*is 1, so 1 must stay/,
    ],
    ['half stays', { percent: 50 }, { hit: ['a'] }, null],
    ['less than half', { percent: 50 }, { hit: ['a', 'b'] }, /is 50%, so 2 must stay/],
    [
      'one is sick already',
      { pods: 2 },
      { pods: [...three.slice(1), pod('a', { ready: false })], hit: ['b'] },
      /1 of the 3 pods/,
    ],
    [
      'the sick one is hit',
      { pods: 2 },
      { pods: [...three.slice(1), pod('a', { ready: false })], hit: ['a'] },
      null,
    ],
    ['another experiment holds one', { pods: 2 }, { hit: ['a'], held: ['b'] }, /1 of the 3 pods/],
    [
      'what has ended counts no more',
      { percent: 100 },
      { pods: [pod('z', { phase: 'Succeeded' })], hit: ['z'] },
      null,
    ],
    [
      'two workloads, one of them gone',
      { pods: 1 },
      { pods: [...three, pod('x', { owner: 'api-1' })], hit: ['a', 'x'] },
      /Deployment\/demo\/api/,
    ],
    ['fewer than the limit, and nobody is hit', { pods: 5 }, { hit: [] }, null],
  ]
  it.each(table)('%s', (_what, wanted, { pods = three, hit, held = [] }, why) => {
    const found = whyTooFew(wanted, { pods, hit: new Set(hit), held: new Set(held) })
    if (why === null) expect(found).toBeNull()
    else expect(found).toMatch(why)
  })

  it.each([
    [null, 0, null],
    [{ pods: 1 }, 1, null],
    [{ pods: 1 }, 0, /has 3 pods and would be scaled to 0/],
    [{ percent: 50 }, 1, /so 2 must stay/],
    [{ pods: 5 }, 4, null],
  ])('%j, scaled to %d', (wanted, replicas, why) => {
    const found = whyTooSmall(wanted, { workload: 'Deployment/demo/web', pods: three, replicas })
    if (why === null) expect(found).toBeNull()
    else expect(found).toMatch(why)
  })
})
