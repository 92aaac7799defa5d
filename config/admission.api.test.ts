import { readFile } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { type ControlPlane, startControlPlane } from '../test-e2e/cluster/control-plane.ts'
import { applyCrds } from '../test-e2e/setup/api-server.ts'
import { kubectl, type Rendered, renderChart } from './testing/chart.ts'

let plane: ControlPlane
const users: Record<string, string> = {}

const list = (items: object[]) => JSON.stringify({ apiVersion: 'v1', kind: 'List', items })
const namespaced = (name: string) => ({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } })
const api = 'rbac.authorization.k8s.io'

type Rule = { apiGroups: string[]; resources: string[]; verbs: string[]; resourceNames?: string[] }
const rule = (group: string, resource: string, ...verbs: string[]): Rule => ({
  apiGroups: [group],
  resources: [resource],
  verbs,
})

/** What a user may do in a namespace, or everywhere for namespace ''. */
function grant(user: string, namespace: string, rules: Rule[]): object[] {
  const kind = namespace === '' ? 'ClusterRole' : 'Role'
  const metadata = { name: `${user}-${namespace || 'all'}`, ...(namespace && { namespace }) }
  const roleRef = { apiGroup: api, kind, name: metadata.name }
  const subjects = [{ apiGroup: api, kind: 'User', name: user }]
  return [
    { apiVersion: `${api}/v1`, kind, metadata, rules },
    { apiVersion: `${api}/v1`, kind: `${kind}Binding`, metadata, roleRef, subjects },
  ]
}

const experiments: Rule[] = [
  rule('litmuschaos.io', 'kuberneteschaosexperiments', 'create', 'get', 'patch', 'delete'),
  rule('chaos.chaosplane.io', 'chaosexperiments', 'create', 'get', 'patch', 'delete'),
]
const useLitmus = { ...rule('', 'serviceaccounts', 'use'), resourceNames: ['litmus'] }

beforeAll(async () => {
  plane = await startControlPlane()
  await applyCrds(plane.kubeconfig)
  const policy = (await renderChart('chaosplane')).filter(({ kind }) =>
    kind.startsWith('ValidatingAdmissionPolicy'),
  )
  expect(policy).toHaveLength(2)
  const grants = [
    // creates experiments and nothing else
    ...grant('newcomer', 'v2', experiments),
    // may use the account, and nothing in the target namespace
    ...grant('stranger', 'v2', [...experiments, useLitmus]),
    // may do what pod-delete does, and no more
    ...grant('tester', 'v2', [...experiments, useLitmus]),
    ...grant('tester', 'demo', [rule('', 'pods', 'delete')]),
    // could run a pod as any account of v2
    ...grant('developer', 'v2', [...experiments, rule('', 'pods', 'create')]),
    ...grant('developer', 'demo', [rule('', 'pods', 'delete'), rule('', 'pods/exec', 'create')]),
    ...grant('admin-of-nodes', 'v2', [...experiments, rule('', 'pods', 'create')]),
    ...grant('everywhere', '', [...experiments, rule('', 'pods', 'create', 'delete')]),
    ...grant('admin-of-nodes', '', [rule('', 'nodes', 'patch')]),
    ...grant('drainer', 'v2', [...experiments, useLitmus]),
    ...grant('drainer', '', [rule('', 'nodes', 'patch'), rule('', 'pods/eviction', 'create')]),
    // may scale one kind of workload of two
    ...grant('scaler', 'v2', [...experiments, useLitmus]),
    ...grant('scaler', 'demo', [rule('apps', 'deployments/scale', 'patch')]),
    // may do what its probes do: a command, one Secret, all pods and one deployment of demo
    ...grant('prober', 'v2', [
      ...experiments,
      rule('', 'pods', 'create'),
      rule('', 'pods/exec', 'create'),
      { ...rule('', 'secrets', 'get'), resourceNames: ['login'] },
    ]),
    ...grant('prober', 'demo', [
      rule('', 'pods', 'delete', 'list'),
      { ...rule('apps', 'deployments', 'get'), resourceNames: ['web'] },
    ]),
    // everything in one namespace, and nothing elsewhere
    ...grant('owner', 'v2', [rule('*', '*', '*')]),
    ...grant('owner', 'demo', [rule('*', '*', '*')]),
  ]
  await kubectl(
    plane.kubeconfig,
    ['apply', '-f', '-'],
    list([...['v2', 'demo', 'shop'].map(namespaced), ...grants, ...policy]),
  )
  for (const user of [
    'newcomer',
    'stranger',
    'tester',
    'developer',
    'everywhere',
    'admin-of-nodes',
    'drainer',
    'scaler',
    'prober',
    'owner',
  ])
    users[user] = await plane.kubeconfigFor(user)
  await untilEnforced()
})
afterAll(() => plane?.down())

/** The API server takes a new policy up within a second or two. */
async function untilEnforced(): Promise<void> {
  const trial = litmus('trial', [task('pod-delete', 'demo')])
  await vi.waitFor(
    async () => expect(await create('newcomer', trial, '--dry-run=server')).toContain('denied'),
    { timeout: 30_000, interval: 200 },
  )
}

/** What kubectl says: what was created, or why not. */
async function create(user: string, object: object, ...flags: string[]): Promise<string> {
  const kubeconfig = user === 'admin' ? plane.kubeconfig : (users[user] ?? '')
  return kubectl(kubeconfig, ['create', '-f', '-', ...flags], JSON.stringify(object)).catch(String)
}

type Task = { name: string; definition: object }
const env = (values: Record<string, unknown>) =>
  Object.entries(values).map(([name, value]) => ({ name, value }))
const task = (experiment: string, namespace: string, values = {}): Task => ({
  name: `${experiment}-${namespace.trim()}`,
  definition: {
    targets: {
      selectors: { workloads: [{ kind: 'deployment', namespace, names: 'web', labels: '' }] },
    },
    chaos: { experiment, env: env(values) },
  },
})
const litmus = (name: string, tasks: object[], account: string | null = 'litmus') => ({
  apiVersion: 'litmuschaos.io/v1alpha1',
  kind: 'KubernetesChaosExperiment',
  metadata: { name, namespace: 'v2' },
  spec: { tasks, serviceAccountName: account },
})
const chaosplane = (name: string, { type = 'pod-kill', account = '', target = {} } = {}) => ({
  apiVersion: 'chaos.chaosplane.io/v1alpha1',
  kind: 'ChaosExperiment',
  metadata: {
    name,
    namespace: 'v2',
    ...(account && { annotations: { 'chaos.chaosplane.io/service-account': account } }),
  },
  spec: {
    target: { kind: 'Pod', namespace: 'demo', names: ['web-0'], ...target },
    action: { type },
    duration: '10s',
  },
})
const hands = (name: string) =>
  litmus(name, [
    {
      name: 'by-env',
      definition: {
        chaos: { fault: 'pod-cpu-hog', env: env({ TARGET_WORKLOAD_NAMESPACE: ' shop ' }) },
      },
    },
  ])

const mayNotUse = (user: string, account = 'litmus') =>
  `${user} may not use the service account ${account} of namespace v2: have a role bound there that allows the verb use on serviceaccounts, or create on pods`
const mayNot = (user: string, act: string) =>
  `${user} may not ${act}, which this experiment does: have a role bound that allows it`

describe('who creates an experiment', () => {
  test.each([
    ['newcomer', litmus('a', [task('pod-delete', 'demo')]), mayNotUse('newcomer')],
    [
      'stranger',
      litmus('b', [task('pod-delete', 'demo')]),
      mayNot('stranger', 'delete pods in namespace demo'),
    ],
    [
      'tester',
      litmus('c', [task('pod-delete', 'shop')]),
      mayNot('tester', 'delete pods in namespace shop'),
    ],
    [
      'tester',
      litmus('d', [task('pod-cpu-hog', 'demo')]),
      mayNot('tester', 'create pods/exec in namespace demo'),
    ],
    // the second of two tasks
    [
      'tester',
      litmus('e', [task('pod-delete', 'demo'), task('pod-delete', 'shop')]),
      mayNot('tester', 'delete pods in namespace shop'),
    ],
    // a fault that nobody knows yet is as strong as exec
    [
      'tester',
      litmus('f', [task('pod-of-tomorrow', 'demo')]),
      mayNot('tester', 'create pods/exec in namespace demo'),
    ],
    ['tester', litmus('g', [task('pod-delete', 'demo')], 'other'), mayNotUse('tester', 'other')],
    // what the product cuts off, the policy cuts off
    [
      'tester',
      litmus('h0', [task('pod-delete', '\ufeff shop ')]),
      mayNot('tester', 'delete pods in namespace shop'),
    ],
    ['developer', hands('h'), mayNot('developer', 'create pods/exec in namespace shop')],
    [
      'developer',
      litmus('i', [task('node-taint', 'demo', { TARGET_NODE: 'n' })]),
      mayNot('developer', 'patch nodes'),
    ],
    // every right by which a fault acts is asked for, not the first alone
    [
      'admin-of-nodes',
      litmus('i1', [task('node-drain', 'demo', { TARGET_NODE: 'n' })]),
      mayNot('admin-of-nodes', 'create pods/eviction'),
    ],
    [
      'scaler',
      litmus('i2', [task('pod-autoscaler', 'demo')]),
      mayNot('scaler', 'patch statefulsets/scale in namespace demo'),
    ],
    ['tester', chaosplane('j'), mayNotUse('tester', 'chaosplane-experiment')],
    // an account that is not named is the chart's default, in both dialects
    [
      'tester',
      litmus('j1', [task('pod-delete', 'demo')], null),
      mayNotUse('tester', 'chaosplane-experiment'),
    ],
    ['tester', chaosplane('j2', { account: ' ' }), mayNotUse('tester', 'chaosplane-experiment')],
    [
      'tester',
      { ...litmus('j3', []), spec: undefined },
      mayNotUse('tester', 'chaosplane-experiment'),
    ],
    [
      'tester',
      chaosplane('k', { account: 'litmus', type: 'pod-cpu-stress' }),
      mayNot('tester', 'create pods/exec in namespace demo'),
    ],
    [
      'developer',
      chaosplane('l', { type: 'node-taint', target: { kind: 'Node', names: ['n'] } }),
      mayNot('developer', 'patch nodes'),
    ],
  ])('%s is refused %#, and told what is missing', async (user, object, why) => {
    expect(await create(user, object)).toContain(why)
  })

  test.each([
    ['tester', litmus('m', [task('pod-delete', 'demo')])],
    ['developer', litmus('n', [task('pod-delete', 'demo'), task('pod-cpu-hog', 'demo')])],
    ['tester', chaosplane('o', { account: 'litmus' })],
    ['developer', chaosplane('p')],
    ['admin-of-nodes', litmus('q', [task('node-taint', 'demo', { TARGET_NODE: 'n' })])],
    ['drainer', litmus('q1', [task('node-drain', 'demo', { TARGET_NODE: 'n' })])],
    ['admin', litmus('r', [task('pod-delete', 'demo'), task('pod-cpu-hog', 'shop')])],
    // what is missing is the runner's business, which says it with the path
    ['stranger', litmus('s', [{ name: 'empty' }, { name: 'null', definition: null }])],
    ['stranger', litmus('t', [])],
  ])('%s is let through %#', async (user, object) => {
    expect(await create(user, object)).toMatch(/ created$/m)
  })

  test('as many rights as the API server affords to check, whatever they repeat', async () => {
    const across = (count: number) =>
      Array.from({ length: count }, (_, i) => ({ ...task('pod-delete', `n${i}`), name: `t${i}` }))
    const repeated = Array.from({ length: 20 }, (_, i) => ({
      ...task('pod-delete', 'demo'),
      name: `t${i}`,
    }))
    expect(await create('tester', litmus('u', repeated))).toMatch(/ created$/m)
    expect(await create('tester', litmus('v', across(20)))).toContain(
      mayNot('tester', 'delete pods in namespace n0'),
    )
    expect(await create('tester', litmus('w', across(21)))).toContain(
      'faults, namespaces and probes together ask for 21 rights, and 20 different ones can be checked at once: split the experiment',
    )
    expect(await create('everywhere', litmus('w', across(20)))).toMatch(/ created$/m)
    expect(await create('admin', litmus('w2', across(40)))).toMatch(/ created$/m)
  })
})

/** A task that the tester may run, with probes that stand in it. */
const probing = (name: string, ...probes: object[]) => {
  const { definition, ...rest } = task('pod-delete', 'demo')
  const { chaos, ...others } = definition as { chaos: object }
  const named = probes.map((probe, i) => ({ name: `p${i}`, mode: 'SOT', ...probe }))
  const plain = { ...task('pod-delete', 'demo'), name: 'plain' }
  const probed = { ...rest, definition: { ...others, chaos: { ...chaos, probes: named } } }
  return litmus(name, [plain, probed])
}
const cmd = (inputs = {}) => ({
  type: 'cmdProbe',
  'cmdProbe/inputs': { command: 'id', comparator: { criteria: 'contains', value: '0' }, ...inputs },
})
const http = (inputs = {}) => ({
  type: 'http',
  'httpProbe/inputs': { url: 'http://shop.demo/', method: { get: {} }, ...inputs },
})
const k8s = (inputs = {}) => ({
  type: 'k8sProbe',
  'k8sProbe/inputs': { version: 'v1', resource: 'pods', operation: 'present', ...inputs },
})
const steady = (name: string, spec: object) => {
  const one = chaosplane(name, { account: 'litmus' })
  return { ...one, spec: { ...one.spec, ...spec } }
}
const apps = { group: 'apps', resource: 'deployments', namespace: 'demo' }

describe('who lets probes look', () => {
  const probes = 'spec.tasks[1].definition.chaos.probes'
  const probeMayNot = (field: string, user: string, act: string) =>
    `${field}: ${user} may not ${act}, which this probe does: have a role bound that allows it`

  test.each([
    // a command runs in a pod of the experiment's namespace, wherever its image is from
    ['tester', [cmd()], '[0].cmdProbe/inputs', 'create pods in namespace v2'],
    ['tester', [http(), cmd({ source: { image: 'evil' } })], '[1].cmdProbe/inputs', 'create pods'],
    ['developer', [cmd()], '[0].cmdProbe/inputs', 'create pods/exec in namespace v2'],
    // the type may be left out
    [
      'tester',
      [{ 'cmdProbe/inputs': { command: 'id' } }],
      '[0].cmdProbe/inputs',
      'create pods in namespace v2',
    ],
    [
      'tester',
      [http({ auth: { type: 'Bearer', credentialsFile: ' \ufefflogin/token' } })],
      '[0].httpProbe/inputs.auth.credentialsFile',
      'get secrets login in namespace v2',
    ],
    ...['caFile', 'certFile', 'keyFile'].map((file): [string, object[], string, string] => [
      'prober',
      [http({ tlsConfig: { [file]: 'bank/key' } })],
      `[0].httpProbe/inputs.tlsConfig.${file}`,
      'get secrets bank in namespace v2',
    ]),
    ...['post', 'put'].map((method): [string, object[], string, string] => [
      'prober',
      [http({ method: { [method]: { bodyPath: 'bank/key' } } })],
      `[0].httpProbe/inputs.method.${method}.bodyPath`,
      'get secrets bank in namespace v2',
    ]),
    [
      'prober',
      [http({ method: 'post', bodyPath: 'bank/key' })],
      '[0].httpProbe/inputs.bodyPath',
      'get secrets bank in namespace v2',
    ],
    // the first that is allowed hides none behind it
    [
      'prober',
      [cmd(), http({ auth: { type: 'Basic', credentialsFile: 'login/a' } }), k8s()],
      '[2].k8sProbe/inputs',
      'list pods in the whole cluster',
    ],
    ['prober', [k8s({ namespace: 'shop' })], '[0].k8sProbe/inputs', 'list pods in namespace shop'],
    [
      'prober',
      [k8s({ ...apps, resourceNames: 'api' })],
      '[0].k8sProbe/inputs',
      'get deployments.apps api in namespace demo',
    ],
    [
      'prober',
      [k8s({ ...apps, resourceNames: ['web', 'api'] })],
      '[0].k8sProbe/inputs',
      'get deployments.apps in namespace demo',
    ],
    // with a selector all of them are listed, whatever the names
    [
      'prober',
      [k8s({ ...apps, resourceNames: 'web', labelSelector: 'app=web' })],
      '[0].k8sProbe/inputs',
      'list deployments.apps in namespace demo',
    ],
    ['owner', [k8s({ namespace: 'shop' })], '[0].k8sProbe/inputs', 'list pods in namespace shop'],
  ])('%s is refused %#, and told the field and what is missing', async (user, list, at, act) => {
    const said = await create(user, probing('refused', ...list))
    expect(said).toContain(`${probes}${at}: ${user} may not ${act}`)
    expect(said).toContain('which this probe does: have a role bound that allows it')
  })

  test.each([
    [{ steadyState: { before: [{ k8s: { resource: 'Pod' } }] } }, 'list pods in namespace demo'],
    [
      {
        steadyState: {
          before: [{ http: { url: 'http://a/' } }],
          after: [{ type: 'k8s', k8s: { resource: 'deployments', namespace: ' shop ' } }],
        },
      },
      'list deployments.apps in namespace shop',
    ],
    [
      { abortConditions: [{ type: 'k8s', k8s: { resource: 'nodes' } }] },
      'list nodes in the whole cluster',
    ],
  ])('of a ChaosExperiment, is refused %#', async (spec, act) => {
    const field = ['spec.steadyState.before[0].k8s', 'spec.steadyState.after[0].k8s']
    const at =
      'abortConditions' in spec
        ? 'spec.abortConditions[0].k8s'
        : field['after' in spec.steadyState ? 1 : 0]
    expect(await create('tester', steady('refused', spec))).toContain(
      probeMayNot(at ?? '', 'tester', act),
    )
  })

  test.each([
    ['tester', probing('aa', http({ auth: { type: 'Bearer', credentials: 'x' } }))],
    // a method that is a word, and what is written and says nothing
    ['tester', probing('ab', http({ method: 'get', auth: null, tlsConfig: null }))],
    // what is in the registry was put there by somebody who may
    [
      'tester',
      litmus('ac', [
        { ...task('pod-delete', 'demo'), probeRef: [{ probeID: 'shop-answers', mode: 'SOT' }] },
      ]),
    ],
    // what can never be evaluated is the runner's business, which says it with the path
    [
      'tester',
      probing(
        'ad',
        k8s({ group: '../api', resource: 'pods' }),
        http({ auth: { credentialsFile: '/etc/passwd' } }),
      ),
    ],
    [
      'prober',
      probing(
        'ae',
        cmd(),
        cmd({ source: { image: 'curl' } }),
        http({ auth: { type: 'Basic', credentialsFile: 'login/password' } }),
        http({ method: { post: { bodyPath: 'login/body' } } }),
        k8s({ namespace: 'demo', labelSelector: 'app=web' }),
        k8s({ ...apps, resourceNames: ['web'] }),
      ),
    ],
    ['owner', probing('af', cmd(), k8s({ namespace: 'demo' }))],
    ['tester', steady('ag', { steadyState: { before: [{ http: { url: 'http://a/' } }] } })],
    ['prober', { ...steady('ah', { steadyState: { after: [{ k8s: { resource: 'pods' } }] } }) }],
    ['admin', probing('ai', cmd(), k8s(), http({ auth: { credentialsFile: 'bank/key' } }))],
  ])('%s is let through %#', async (user, object) => {
    expect(await create(user, object)).toMatch(/ created$/m)
  })

  test('as many as a document takes', async () => {
    const full = (name: string, tasks: number, probes: object[]) => {
      const [, one] = probing(name, ...probes).spec.tasks as [object, object]
      return litmus(
        name,
        Array.from({ length: tasks }, (_, i) => ({ ...one, name: `t${i}` })),
      )
    }
    const file = http({ auth: { type: 'Basic', credentialsFile: 'login/a' } })
    const each = [cmd(), cmd(), file, file, k8s({ namespace: 'demo' }), http(), http()]
    expect(await create('prober', full('aj', 40, each))).toMatch(/ created$/m)
    expect(await create('prober', full('ak', 100, [file, file, file]))).toMatch(
      /probes together ask for 400 rights, and 20 different ones can be checked at once: split/,
    )
    const most = (probe: object) => Array.from({ length: 50 }, () => probe)
    expect(await create('prober', full('al', 100, most(file)))).toMatch(
      /: 5000 probes need rights, and 400 can be looked at: split the experiment/,
    )
    expect(await create('prober', full('am', 100, most(http())))).toMatch(/ created$/m)
    expect(await create('admin', full('an', 100, most(file)))).toMatch(/ created$/m)
  })
})

describe('who changes one', () => {
  const patch = (user: string, name: string, change: object, ...flags: string[]) =>
    kubectl(users[user] ?? plane.kubeconfig, [
      'patch',
      '-n',
      'v2',
      name,
      '--type=merge',
      '-p',
      JSON.stringify(change),
      ...flags,
    ]).catch(String)

  test('is asked when it asks for more, and not when it annotates, finalizes or lets go', async () => {
    expect(await create('admin', litmus('x', [task('pod-delete', 'shop')]))).toMatch(/ created$/m)
    const name = 'kuberneteschaosexperiment/x'
    const annotated = { metadata: { annotations: { 'chaos.chaosplane.io/abort': 'true' } } }
    expect(await patch('stranger', name, annotated)).toContain('patched')
    const held = (finalizers: string[]) => ({ metadata: { finalizers } })
    expect(await patch('stranger', name, held(['chaos.chaosplane.io/run']))).toContain('patched')
    const again = { spec: { experimentRunId: 'one-more' } }
    expect(await patch('stranger', name, again)).toContain(
      mayNot('stranger', 'delete pods in namespace shop'),
    )
    await kubectl(users['stranger'] ?? '', ['delete', '-n', 'v2', name, '--wait=false'])
    expect(await patch('stranger', name, held([]))).toContain('patched')
  })

  test('is not asked to let go of one that says nothing at all', async () => {
    const { spec: _none, ...bare } = litmus('bare', [])
    expect(await create('admin', bare)).toMatch(/ created$/m)
    const name = 'kuberneteschaosexperiment/bare'
    const held = (finalizers: string[]) => ({ metadata: { finalizers } })
    expect(await patch('stranger', name, held(['chaos.chaosplane.io/run']))).toContain('patched')
    await kubectl(users['stranger'] ?? '', ['delete', '-n', 'v2', name, '--wait=false'])
    expect(await patch('stranger', name, held([]))).toContain('patched')
  })

  test('to another account, too', async () => {
    expect(await create('tester', chaosplane('y', { account: 'litmus' }))).toMatch(/ created$/m)
    const other = { metadata: { annotations: { 'chaos.chaosplane.io/service-account': 'root' } } }
    expect(await patch('tester', 'chaosexperiment/y', other)).toContain(mayNotUse('tester', 'root'))
  })

  test('to a probe that does more', async () => {
    expect(await create('tester', probing('probed', http()))).toMatch(/ created$/m)
    const { spec } = probing('probed', http(), cmd())
    expect(await patch('tester', 'kuberneteschaosexperiment/probed', { spec })).toContain(
      'probes[1].cmdProbe/inputs: tester may not create pods in namespace v2',
    )
  })

  test('in its status, is not asked', async () => {
    expect(await create('admin', litmus('z', [task('pod-delete', 'shop')]))).toMatch(/ created$/m)
    const status = { status: { phase: 'Pending' } }
    expect(
      await patch('admin', 'kuberneteschaosexperiment/z', status, '--subresource=status'),
    ).toContain('patched')
  })
})

test('the seed is let through as it is', async () => {
  const seed = new URL('../model/documents/fixtures/seed-experiment.json', import.meta.url)
  const text = await readFile(seed, 'utf8')
  const said = await kubectl(plane.kubeconfig, ['apply', '-f', '-'], text)
  expect(said).toMatch(/ created$/m)
})

test('it can be turned off', async () => {
  const kinds = (items: Rendered[]) => items.map(({ kind }) => kind)
  const items = await renderChart('chaosplane', ['admission.enabled=false'])
  expect(kinds(items).filter((kind) => kind.startsWith('Validating'))).toEqual([])
})
