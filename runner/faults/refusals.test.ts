import { describe, expect, it } from 'vitest'
import { compile } from '../../model/compile/compile.ts'
import { chaosplaneDocument, litmusDocument, type Over } from '../../model/compile/fixtures.ts'
import { parseProbe } from '../../model/compile/probe.ts'
import { longestMs } from '../../model/duration.ts'
import { nearest } from '../../model/suggest.ts'
import { refusedRun } from '../run/start.ts'
import { faultCatalogue } from './catalogue.generated.ts'

const litmus = (over: Over) =>
  compile('KubernetesChaosExperiment', litmusDocument(over), faultCatalogue)
const chaosplane = (spec: object) => {
  const document = structuredClone(chaosplaneDocument({})) as { spec: Record<string, object> }
  for (const [name, fields] of Object.entries(spec))
    document.spec[name] = { ...document.spec[name], ...fields }
  return compile('ChaosExperiment', document, faultCatalogue)
}
const refused = (compiled: ReturnType<typeof litmus>) => {
  if (compiled.ok) throw new Error(`it was accepted: ${JSON.stringify(compiled.plan)}`)
  return compiled.refusals
}
const taskOf = (compiled: ReturnType<typeof litmus>) => {
  if (!compiled.ok) throw new Error(JSON.stringify(compiled.refusals))
  return compiled.plan.tasks[0]
}

it('a share of the targets is never widened to all of them', () => {
  const one = refused(chaosplane({ target: { mode: 'one', value: '1' } }))
  expect(one).toMatchObject([{ path: 'spec.target.mode' }])
  expect(one[0]?.suggestion).toContain('spec.target.names')
  expect(
    refused(chaosplane({ target: { labelSelectr: { matchLabels: { a: 'b' } } } })),
  ).toMatchObject([{ path: 'spec.target.labelSelectr', suggestion: 'did you mean labelSelector?' }])
  expect(refused(chaosplane({ action: { paramters: { workers: '2' } } }))).toMatchObject([
    { path: 'spec.action.paramters', suggestion: 'did you mean parameters?' },
  ])
  expect(chaosplane({ target: { mode: 'all' } }).ok).toBe(true)
})

it.each([
  ['0x10', null],
  ['1e1', null],
  ['33.3', null],
  ['-1', null],
  ['50', 50],
  ['50%', 50],
  ['050', 50],
])('the percentage %s is read as %s', (value, share) => {
  const compiled = litmus({ env: { POD_AFFECTED_PERCENTAGE: value } })
  if (share === null) expect(refused(compiled)[0]?.reason).toContain('whole number of percent')
  else expect(taskOf(compiled)?.selection.share).toBe(share)
})

it('two spellings of one percentage agree', () => {
  const env = { POD_AFFECTED_PERCENTAGE: '50', PODS_AFFECTED_PERC: '50%' }
  expect(taskOf(litmus({ env }))?.selection.share).toBe(50)
})

it('names that every object has are names like others', () => {
  const env = [
    { name: 'constructor', value: 'x' },
    { name: '__proto__', value: 'y' },
  ]
  const compiled = litmus({ chaos: { env } })
  if (compiled.ok) expect(compiled.plan.notes.join()).not.toContain('given twice')
  else expect(JSON.stringify(compiled.refusals)).not.toContain('given twice')
  const before = [{ name: 'p', type: 'k8s', k8s: { resource: 'constructor' } }]
  expect(refused(chaosplane({ steadyState: { before } }))).toMatchObject([
    { path: 'spec.steadyState.before[0].k8s.resource' },
  ])
})

it('no wait is longer than a timer can count', () => {
  const parsed = parseProbe(
    `
name: late
type: httpProbe
httpProbe/inputs:
  url: http://shop.demo/
  method: { get: { criteria: "==", responseCode: "200" } }
runProperties: { initialDelaySeconds: 99999999 }
`,
    'SOT',
  )
  expect(parsed).toMatchObject({
    ok: false,
    refusals: [{ path: 'runProperties.initialDelaySeconds' }],
  })
  const statusCheckTimeouts = { delay: 99_999_999, timeout: 99_999_999 }
  const task = taskOf(
    litmus({ chaos: { defaultHealthCheck: true, components: { statusCheckTimeouts } } }),
  )
  expect(task?.healthCheck).toEqual({ delayMs: longestMs, timeoutMs: longestMs })
  expect(longestMs).toBeLessThan(2 ** 31)
})

it('a name of any length is compared with nothing, and status keeps the beginning of it', () => {
  expect(nearest('x'.repeat(64), ['x'.repeat(63)])).toBe('x'.repeat(63))
  expect(nearest('x'.repeat(65), ['x'.repeat(64)])).toBe(null)
  const long = 'x'.repeat(400_000)
  const refusals = refused(chaosplane({ action: { parameters: { [long]: '1' } } }))
  const birth = {
    runId: 'r',
    runner: 'a',
    instance: 'b',
    generation: 1,
    document: '',
    seed: 1,
    at: 0,
    previousRunIds: [],
  }
  expect(JSON.stringify(refusedRun(refusals, birth)).length).toBeLessThan(5000)
})

describe('what is given and says nothing', () => {
  const env = 'spec.tasks[0].definition.chaos.env[0].value'
  const workload = 'spec.tasks[0].definition.targets.selectors.workloads[0]'
  const of = (over: object) => [{ kind: 'deployment', namespace: 'demo', names: 'web', ...over }]
  const litmusCases: [string, Over, string][] = [
    ['TARGET_PODS of a comma', { env: { TARGET_PODS: ',' } }, env],
    ['TARGET_PODS of blanks', { env: { TARGET_PODS: '  ' } }, env],
    ['TARGET_CONTAINER of a comma', { env: { TARGET_CONTAINER: ' ,' } }, env],
    ['NODE_LABEL of blanks', { env: { NODE_LABEL: ' ' } }, env],
    ['a percentage of blanks', { env: { POD_AFFECTED_PERCENTAGE: ' ' } }, env],
    ['TARGET_WORKLOAD_NAMES of a comma', { env: { TARGET_WORKLOAD_NAMES: ',' } }, env],
    ['SEQUENCE of blanks', { env: { SEQUENCE: '  ' } }, env],
    ['a tunable of the fault', { env: { CHAOS_INTERVAL: ' ' } }, env],
    [
      'names of commas beside labels',
      { workloads: of({ names: ',,', labels: 'a=b' }) },
      `${workload}.names`,
    ],
    ['labels of blanks beside names', { workloads: of({ labels: ' ' }) }, `${workload}.labels`],
  ]
  it.each(litmusCases)('%s is refused, with a way out', (_name, over, path) => {
    const refusals = refused(litmus(over))
    expect(refusals.map((r) => r.path)).toEqual([path])
    expect(refusals[0]?.suggestion).toMatch(/leave it out/)
  })
  it.each([
    ['DESTINATION_IPS', ','],
    ['DESTINATION_HOSTS', ' '],
    ['SOURCE_PORTS', ' , '],
    ['DESTINATION_PORTS', ','],
  ])('%s of a network fault as %j, too', (name, value) => {
    const chaos = { experiment: 'pod-network-loss', env: [{ name, value }] }
    expect(refused(litmus({ chaos })).map((r) => r.path)).toEqual([env])
  })
  it.each([
    [
      'a parameter',
      { action: { parameters: { gracePeriodSeconds: ' ' } } },
      'spec.action.parameters.gracePeriodSeconds',
    ],
    [
      'the container',
      { action: { parameters: { containerName: ',' } } },
      'spec.action.parameters.containerName',
    ],
    ['names', { target: { names: [' '] } }, 'spec.target.names'],
  ])('%s of a ChaosExperiment, too', (_name, spec, path) => {
    expect(refused(chaosplane(spec)).map((r) => r.path)).toEqual([path])
  })
  it('an empty text is left out, and an empty part of a list does not count', () => {
    const empty = { TARGET_PODS: '', NODE_LABEL: '', TARGET_CONTAINER: '' }
    expect(taskOf(litmus({ env: empty }))?.selection).toMatchObject({ pods: [], container: '' })
    expect(taskOf(litmus({ env: { TARGET_PODS: 'a, ,b,a,' } }))?.selection.pods).toEqual(['a', 'b'])
  })
  it('what has no meaning here may say what it likes', () =>
    expect(litmus({ env: { SOCKET_PATH: ' ' } }).ok).toBe(true))
})

describe('names that nothing can have', () => {
  const at = 'spec.tasks[0].definition.targets.selectors.workloads[0]'
  const of = (over: object) => [{ kind: 'deployment', namespace: 'demo', names: 'web', ...over }]
  const env = 'spec.tasks[0].definition.chaos.env[0].value'
  const cases: [string, Over, string, RegExp][] = [
    [
      'a wildcard',
      { workloads: of({ names: 'web-*' }) },
      `${at}.names`,
      /no wildcards: write every name, or select by labels/,
    ],
    ['one of several', { workloads: of({ names: 'web,db?' }) }, `${at}.names`, /no wildcards/],
    ['upper case', { workloads: of({ names: 'Web' }) }, `${at}.names`, /did you mean web\?/],
    [
      'a namespace in front',
      { workloads: of({ names: 'demo/web' }) },
      `${at}.names`,
      /without its namespace/,
    ],
    [
      'an underscore',
      { workloads: of({ names: 'my_web' }) },
      `${at}.names`,
      /lower-case letters, digits, - and \./,
    ],
    [
      'a namespace with a wildcard',
      { workloads: of({ namespace: '*' }) },
      `${at}.namespace`,
      /no wildcards: write the name/,
    ],
    [
      'a namespace with a point',
      { workloads: of({ namespace: 'a.b' }) },
      `${at}.namespace`,
      /at most 63/,
    ],
    ['a pod', { env: { TARGET_PODS: 'web-0,web-*' } }, env, /no wildcards/],
    ['a container', { env: { TARGET_CONTAINER: 'a,b' } }, env, /lower-case letters, digits and -/],
    [
      'an account',
      { spec: { serviceAccountName: 'litmus admin' } },
      'spec.serviceAccountName',
      /lower-case/,
    ],
  ]
  it.each(cases)('%s is refused by path', (_name, over, path, suggestion) => {
    const refusals = refused(litmus(over))
    expect(refusals.map((r) => r.path)).toEqual([path])
    expect(refusals[0]?.suggestion).toMatch(suggestion)
  })
  it('nodes', () => {
    const chaos = {
      experiment: 'node-taint',
      env: [
        { name: 'TARGET_NODES', value: 'node-1,node-*' },
        { name: 'TAINTS', value: 'a=b:NoSchedule' },
      ],
    }
    expect(refused(litmus({ chaos }))).toMatchObject([{ path: env }])
  })
  it('names of the other dialect', () => {
    const paths = (spec: object) => refused(chaosplane(spec)).map((r) => r.path)
    expect(paths({ target: { names: ['web-0', 'web-*'] } })).toEqual(['spec.target.names'])
    expect(paths({ target: { namespace: 'Demo' } })).toEqual(['spec.target.namespace'])
    const parameters = { containerName: 'app*' }
    expect(paths({ action: { parameters } })).toEqual(['spec.action.parameters.containerName'])
    const two = { containerName: 'app', container: 'web' }
    expect(paths({ action: { parameters: two } })).toEqual(['spec.action.parameters.container'])
  })
  it('what Kubernetes allows is allowed', () => {
    const names = ['a', 'web-1.2', '0-a', 'x'.repeat(253)].join(',')
    expect(
      taskOf(litmus({ workloads: of({ names }) }))?.selection.workloads[0]?.names,
    ).toHaveLength(4)
  })
  it('a long name is shown by its beginning', () => {
    const [refusal] = refused(litmus({ workloads: of({ names: 'x'.repeat(100_000) }) }))
    expect(refusal?.reason.length).toBeLessThan(200)
  })
})

it('a label that would mean something else in a text is refused', () => {
  for (const matchLabels of [{ app: 'a,b' }, { app: 'a)' }, { 'a b': 'c' }])
    expect(refused(chaosplane({ target: { labelSelector: { matchLabels } } }))).toMatchObject([
      { path: 'spec.target.labelSelector' },
    ])
})

it('targets in two places must be the same', () => {
  const env = {
    TARGET_WORKLOAD_KIND: 'deployment',
    TARGET_WORKLOAD_NAMESPACE: 'demo',
    TARGET_WORKLOAD_NAMES: 'web',
  }
  expect(litmus({ env }).ok).toBe(true)
  expect(refused(litmus({ env: { ...env, TARGET_WORKLOAD_NAMES: 'db' } }))).toMatchObject([
    { suggestion: 'name the targets once' },
  ])
})

describe('tunables that something else has decided', () => {
  const notes = (over: Over): string[] => {
    const compiled = litmus(over)
    if (!compiled.ok) throw new Error(JSON.stringify(compiled.refusals))
    return compiled.plan.notes
  }
  const env = (i: number): string => `spec.tasks[0].definition.chaos.env[${i}].value`

  it.each(['NODE_LABEL', 'POD_AFFECTED_PERCENTAGE', 'POD_TERMINATION_ORDER'])(
    '%s beside TARGET_PODS is said not to count',
    (name) => {
      const value = { NODE_LABEL: 'a=b', POD_TERMINATION_ORDER: 'reverse' }[name] ?? '50'
      expect(notes({ env: { TARGET_PODS: 'web-0', [name]: value } })).toEqual([
        `${env(1)}: ${name} is not used, because TARGET_PODS is given.`,
      ])
    },
  )
  it('a percentage of pods that are named is said not to count', () => {
    const workloads = [{ kind: 'pod', namespace: 'demo', names: 'web-0,web-1' }]
    expect(notes({ workloads, env: { PODS_AFFECTED_PERC: '50' } })).toEqual([
      `${env(0)}: PODS_AFFECTED_PERC is not used, because the pods are named.`,
    ])
    expect(notes({ workloads, env: { PODS_AFFECTED_PERC: '0' } })).toEqual([])
  })
  it('a label beside nodes that are named, and workloads beside either', () => {
    const nodes = (more: object[]) => ({
      chaos: {
        experiment: 'node-taint',
        env: [{ name: 'TAINTS', value: 'a=b:NoSchedule' }, ...more],
      },
      workloads: null,
    })
    const named = [
      { name: 'TARGET_NODE', value: 'n1' },
      { name: 'NODE_LABEL', value: 'a=b' },
    ]
    expect(notes(nodes(named))).toEqual([
      `${env(2)}: NODE_LABEL is not used, because nodes are named.`,
    ])
    const { chaos } = nodes([{ name: 'NODE_LABEL', value: 'a=b' }])
    expect(notes({ chaos }).join()).toContain('Workloads and pods of a task are not used')
  })
})

describe('the order of pod-delete', () => {
  const of = (env: Record<string, unknown>) => taskOf(litmus({ env }))

  it('is by chance, or by name either way', () => {
    expect(of({})?.selection.order).toBeUndefined()
    expect(of({ POD_TERMINATION_ORDER: 'random' })?.selection.order).toBeUndefined()
    expect(of({ POD_TERMINATION_ORDER: 'Alphabetical' })?.selection.order).toBe('alphabetical')
    expect(of({ POD_TERMINATION_ORDER: 'reverse' })?.selection.order).toBe('reverse')
    expect(refused(litmus({ env: { POD_TERMINATION_ORDER: 'alphabeticaly' } }))).toMatchObject([
      { suggestion: 'did you mean alphabetical?' },
    ])
  })
  it('has a pause between pods, or none', () => {
    expect(of({})?.params['pauseMs']).toBe(null)
    expect(of({ INTER_POD_KILL_INTERVAL_SECONDS: '0' })?.params['pauseMs']).toBe(null)
    expect(of({ INTER_POD_KILL_INTERVAL_SECONDS: 3 })?.params['pauseMs']).toBe(3000)
  })
})

it('limits of the health check are read as numbers, also in quotes, or refused by path', () => {
  const check = (statusCheckTimeouts: object) =>
    litmus({ chaos: { defaultHealthCheck: true, components: { statusCheckTimeouts } } })
  const at = 'spec.tasks[0].definition.chaos.components.statusCheckTimeouts'
  expect(taskOf(check({ delay: 5, timeout: 60 }))?.healthCheck).toEqual({
    delayMs: 5000,
    timeoutMs: 60_000,
  })
  expect(refused(check({ timeoutt: 60 }))).toMatchObject([{ path: `${at}.timeoutt` }])
})
