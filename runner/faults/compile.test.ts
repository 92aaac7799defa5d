import { describe, expect, it } from 'vitest'
import { compile } from '../../model/compile/compile.ts'
import {
  chaosplaneDocument,
  litmusDocument,
  type Over,
  published,
} from '../../model/compile/fixtures.ts'
import type { Json } from '../../model/compile/problems.ts'
import type { Plan, Refusal, TaskPlan } from '../../model/plan.ts'
import { faultCatalogue } from './catalogue.generated.ts'

const litmus = (doc: unknown) => compile('KubernetesChaosExperiment', doc, faultCatalogue)
const chaosplane = (doc: unknown) => compile('ChaosExperiment', doc, faultCatalogue)

function planOf(compiled: ReturnType<typeof litmus>): Plan {
  if (!compiled.ok) throw new Error(JSON.stringify(compiled.refusals, null, 1))
  return compiled.plan
}
const taskOf = (over: Over): TaskPlan => {
  const task = planOf(litmus(litmusDocument(over))).tasks[0]
  if (!task) throw new Error('no task')
  return task
}
function refusalsOf(compiled: ReturnType<typeof litmus>): Refusal[] {
  if (compiled.ok) throw new Error('it was accepted')
  return compiled.refusals
}
const env = 'spec.tasks[0].definition.chaos.env'

describe('the published experiment', () => {
  const plan = planOf(litmus(published('seed-experiment.json')))

  it('becomes two steps with their faults, targets and probes', () => {
    expect(plan.steps).toEqual([['pod-delete-wm3'], ['pod-cpu-hog-pys']])
    expect(plan).toMatchObject({ account: 'litmus', runId: '', cleanup: 'delete' })
    const [first, second] = plan.tasks
    expect(first).toMatchObject({
      fault: 'pod-delete',
      params: { gracePeriodSeconds: null, interval: { minMs: 10_000, maxMs: 10_000 } },
      durationMs: 30_000,
      probes: [{ ref: 'google-ping', mode: 'SOT' }],
      weight: 10,
    })
    expect(second).toMatchObject({
      fault: 'pod-cpu-hog',
      params: { workers: 1, loadPercent: 100 },
      durationMs: 60_000,
      selection: { share: 'one', container: '', pods: [] },
    })
  })

  it('says which parts are not used', () => {
    expect(plan.notes.some((n) => n.includes('image and imagePullPolicy are not used'))).toBe(true)
    expect(plan.notes.some((n) => n.includes('log watcher'))).toBe(true)
    expect(plan.notes.some((n) => n.includes('SOCKET_PATH'))).toBe(true)
  })
})

describe('what users write', () => {
  it.each(['POD_AFFECTED_PERCENTAGE', 'PODS_AFFECTED_PERC', 'POD_AFFECTED_PERC'])('%s', (name) => {
    expect(taskOf({ env: { [name]: '50' } }).selection.share).toBe(50)
    expect(taskOf({ env: { [name]: '0' } }).selection.share).toBe('one')
    expect(taskOf({ env: { [name]: '' } }).selection.share).toBe('one')
    expect(taskOf({ env: { [name]: '250' } }).selection.share).toBe(100)
  })

  it('kinds in any case, names as lists in a text', () => {
    const workloads = [
      { kind: 'daemonSet', namespace: 'a', names: 'x, y', labels: 'app=web,tier in (a,b)' },
    ]
    expect(taskOf({ workloads }).selection.workloads).toEqual([
      { kind: 'daemonset', namespace: 'a', names: ['x', 'y'], labels: 'app=web,tier in (a,b)' },
    ])
  })

  it('targets as environment', () => {
    const names = {
      TARGET_WORKLOAD_KIND: 'statefulset',
      TARGET_WORKLOAD_NAMESPACE: 'a',
      TARGET_WORKLOAD_NAMES: 'db',
    }
    expect(taskOf({ workloads: null, env: names }).selection.workloads).toEqual([
      { kind: 'statefulset', namespace: 'a', names: ['db'], labels: '' },
    ])
  })

  it('numbers and flags where texts are usual', () => {
    const task = taskOf({ env: { TOTAL_CHAOS_DURATION: 45, FORCE: true, RAMP_TIME: '1m' } })
    expect(task).toMatchObject({
      durationMs: 45_000,
      rampMs: 60_000,
      params: { gracePeriodSeconds: 0 },
    })
  })

  it('a random interval', () => {
    expect(taskOf({ env: { CHAOS_INTERVAL: '5-10', RANDOMNESS: 'true' } }).params).toMatchObject({
      interval: { minMs: 5000, maxMs: 10_000 },
    })
  })

  it('a health check by field, by tunable, and the tunable first', () => {
    const on = { delayMs: 2000, timeoutMs: 180_000 }
    expect(taskOf({}).healthCheck).toBe(null)
    expect(taskOf({ chaos: { defaultHealthCheck: true } }).healthCheck).toEqual(on)
    expect(
      taskOf({ env: { DEFAULT_HEALTH_CHECK: 'true', STATUS_CHECK_TIMEOUT: '10' } }).healthCheck,
    ).toEqual({
      delayMs: 2000,
      timeoutMs: 10_000,
    })
    const off = {
      chaos: { defaultHealthCheck: true, env: [{ name: 'DEFAULT_HEALTH_CHECK', value: 'false' }] },
    }
    expect(taskOf(off).healthCheck).toBe(null)
  })

  it('all cores by load', () => {
    const chaos = {
      experiment: 'pod-cpu-hog',
      env: [
        { name: 'CPU_CORES', value: '0' },
        { name: 'CPU_LOAD', value: '40' },
      ],
    }
    expect(taskOf({ chaos }).params).toEqual({ workers: 0, loadPercent: 40 })
  })

  it('pod settings, and a weight', () => {
    const components = {
      resources: { limits: { memory: '64Mi' } },
      tolerations: [{ operator: 'Exists' }],
      imagePullSecrets: [{ name: 's' }],
    }
    const task = taskOf({ chaos: { components, labels: { team: 'a', weight: '4' } } })
    expect(task.pods).toEqual({ ...components, labels: { team: 'a' } })
    expect(task.weight).toBe(4)
    expect(taskOf({ task: { weight: 7 } }).weight).toBe(7)
  })

  it('no steps: one after another, with a note', () => {
    const doc = litmusDocument()
    const [task] = (doc['spec'] as { tasks: Json[] }).tasks
    const plan = planOf(
      litmus(litmusDocument({ spec: { steps: null, tasks: [task, { ...task, name: 'two' }] } })),
    )
    expect(plan.steps).toEqual([['one'], ['two']])
    expect(plan.notes.join()).toContain('spec.steps is empty')
  })

  it('an inline probe with bare seconds, with a note', () => {
    const probes = [
      {
        name: 'p',
        type: 'httpProbe',
        mode: 'continuous',
        'httpProbe/inputs': {
          url: 'http://web.demo.svc',
          method: { get: { criteria: '==', responseCode: '200' } },
        },
        runProperties: {
          probeTimeout: 5,
          interval: '2s',
          attempt: 0,
          retry: 3,
          stopOnFailure: true,
        },
      },
    ]
    const plan = planOf(litmus(litmusDocument({ chaos: { probes } })))
    expect(plan.tasks[0]?.probes[0]).toMatchObject({
      mode: 'Continuous',
      run: { timeoutMs: 5000, intervalMs: 2000, attempts: 3, stopOnFailure: true },
      inputs: { method: 'GET', responseCode: { criteria: '==', value: '200' }, responseBody: null },
    })
    expect(plan.notes.join()).toContain('5 is read as 5 seconds')
  })

  it('a dead field, with a note', () => {
    expect(planOf(litmus(litmusDocument({ spec: { annotationCheck: 'false' } }))).notes).toEqual([
      'spec.annotationCheck is not read.',
    ])
  })
})

describe('what is refused, with path and suggestion', () => {
  const task = 'spec.tasks[0]'
  const chaos = `${task}.definition.chaos`
  const probe = (over: Json): Over => ({ chaos: { probes: [{ name: 'p', mode: 'SOT', ...over }] } })
  const cases: [string, Over, string, RegExp][] = [
    [
      'a misspelt fault',
      { chaos: { experiment: 'pod-delet' } },
      `${chaos}.experiment`,
      /did you mean pod-delete\?/,
    ],
    [
      'a fault of the other dialect',
      { chaos: { experiment: 'pod-kill' } },
      `${chaos}.experiment`,
      /did you mean pod-delete\?/,
    ],
    [
      'a fault that is not built',
      { chaos: { experiment: 'pod-dns-spoof' } },
      `${chaos}.experiment`,
      /these are built: .*pod-cpu-hog, pod-delete/,
    ],
    [
      'a misspelt tunable',
      { env: { CHAOS_INTERVALL: '3' } },
      `${env}[0].name`,
      /did you mean CHAOS_INTERVAL\?/,
    ],
    [
      'VALUE in upper case',
      { chaos: { env: [{ name: 'FORCE', VALUE: 'true' }] } },
      `${env}[0].VALUE`,
      /did you mean value\?/,
    ],
    [
      'a reference',
      { chaos: { env: [{ name: 'FORCE', valueFrom: { secretKeyRef: { name: 's' } } }] } },
      `${env}[0].valueFrom`,
      /write the value/,
    ],
    ['a bad duration', { env: { TOTAL_CHAOS_DURATION: '5 min' } }, `${env}[0].value`, /seconds/],
    [
      'a bad percentage',
      { env: { POD_AFFECTED_PERCENTAGE: 'half' } },
      `${env}[0].value`,
      /0 to 100/,
    ],
    [
      'two percentages',
      { env: { POD_AFFECTED_PERCENTAGE: '1', PODS_AFFECTED_PERC: '2' } },
      `${env}[1].value`,
      /once/,
    ],
    [
      'an unknown sequence',
      { env: { SEQUENCE: 'random' } },
      `${env}[0].value`,
      /"serial" or "parallel"/,
    ],
    [
      'targets that come later, of a fault that selects by labels',
      { chaos: { experiment: 'pod-network-policy' }, env: { TARGETS_MODE: 'dynamic' } },
      `${env}[0].value`,
      /leave it out/,
    ],
    [
      'a range without randomness',
      { env: { CHAOS_INTERVAL: '5-10' } },
      `${env}[0].value`,
      /RANDOMNESS/,
    ],
    ['no interval at all', { env: { CHAOS_INTERVAL: '0' } }, `${env}[0].value`, /write seconds/],
    [
      'an unknown kind',
      { workloads: [{ kind: 'deploymnt', namespace: 'a', names: 'b' }] },
      `${task}.definition.targets.selectors.workloads[0].kind`,
      /did you mean deployment\?/,
    ],
    [
      'a bad label selector',
      { workloads: [{ kind: 'pod', namespace: 'a', labels: 'a b' }] },
      `${task}.definition.targets.selectors.workloads[0].labels`,
      /app=web/,
    ],
    [
      'everything of a namespace',
      { workloads: [{ kind: 'deployment', namespace: 'a' }] },
      `${task}.definition.targets.selectors.workloads[0]`,
      /kind: any/,
    ],
    [
      'no target',
      { workloads: null },
      `${task}.definition.targets.selectors.workloads`,
      /names or labels/,
    ],
    [
      'no namespace',
      { workloads: [{ kind: 'pod', names: 'a' }] },
      `${task}.definition.targets.selectors.workloads[0].namespace`,
      /namespace/,
    ],
    [
      'a sidecar',
      { chaos: { components: { sidecar: [{ image: 'evil' }] } } },
      `${chaos}.components.sidecar[0]`,
      /leave the sidecar out/,
    ],
    [
      'a security context',
      { chaos: { components: { securityContext: { privileged: true } } } },
      `${chaos}.components.securityContext`,
      /leave/,
    ],
    [
      'files of the host',
      { chaos: { components: { hostFileVolumes: [{ name: 'a' }] } } },
      `${chaos}.components.hostFileVolumes`,
      /leave/,
    ],
    [
      'our own labels',
      { chaos: { labels: { 'chaos.chaosplane.io/run': 'x' } } },
      `${chaos}.labels.chaos.chaosplane.io/run`,
      /leave/,
    ],
    [
      'a command of your own',
      { chaos: { command: ['sh'] } },
      `${chaos}.command`,
      /leave command out/,
    ],
    [
      'a probe type that is not built',
      probe({ type: 'promProbe' }),
      `${chaos}.probes[0].type`,
      /httpProbe, cmdProbe, k8sProbe/,
    ],
    [
      'an unknown probe mode',
      {
        chaos: {
          probes: [
            {
              name: 'p',
              type: 'httpProbe',
              mode: 'Contiuous',
              'httpProbe/inputs': { url: 'http://a' },
            },
          ],
        },
      },
      `${chaos}.probes[0].mode`,
      /did you mean Continuous\?/,
    ],
    [
      'a probe without inputs',
      probe({ type: 'httpProbe' }),
      `${chaos}.probes[0].httpProbe/inputs`,
      /write the inputs/,
    ],
    [
      'an unknown criterion',
      probe({
        type: 'cmdProbe',
        'cmdProbe/inputs': {
          command: 'x',
          comparator: { type: 'string', criteria: 'notContains', value: 'y' },
        },
      }),
      `${chaos}.probes[0].cmdProbe/inputs.comparator.criteria`,
      /use one of: equal/,
    ],
    [
      'a k8s probe that creates',
      probe({
        type: 'k8sProbe',
        'k8sProbe/inputs': { version: 'v1', resource: 'pods', operation: 'create' },
      }),
      `${chaos}.probes[0].k8sProbe/inputs.operation`,
      /present or absent/,
    ],
    [
      'credentials from a disk',
      probe({
        type: 'httpProbe',
        'httpProbe/inputs': { url: 'http://a', auth: { type: 'Basic', credentialsFile: '/x' } },
      }),
      `${chaos}.probes[0].httpProbe/inputs.auth.credentialsFile`,
      /write the value/,
    ],
    [
      'a probe reference without an id',
      { task: { probeRef: [{ mode: 'SOT' }] } },
      `${task}.probeRef[0].probeID`,
      /registry/,
    ],
    [
      'a step of an unknown task',
      { spec: { steps: [[{ name: 'onne' }]] } },
      'spec.steps[0][0].name',
      /did you mean one\?/,
    ],
    [
      'a task twice in the steps',
      { spec: { steps: [[{ name: 'one' }], [{ name: 'one' }]] } },
      'spec.steps[1][0].name',
      /once/,
    ],
    ['actions', { spec: { actions: [{ name: 'delay' }] } }, 'spec.actions', /leave actions out/],
    [
      'a misspelt field',
      { task: { probeRefs: [{ probeID: 'a', mode: 'SOT' }] } },
      `${task}.probeRefs`,
      /did you mean probeRef\?/,
    ],
    ['a weight out of range', { task: { weight: 11 } }, `${task}.weight`, /1 to 10/],
    [
      'a value of the wrong type',
      { spec: { cleanupPolicy: 'keep' } },
      'spec.cleanupPolicy',
      /kubectl explain/,
    ],
  ]
  it.each(cases)('%s', (_name, over, path, suggestion) => {
    const refusals = refusalsOf(litmus(litmusDocument(over)))
    expect(refusals.map((r) => r.path)).toContain(path)
    expect(refusals.find((r) => r.path === path)?.suggestion).toMatch(suggestion)
  })

  it('a task in no step, and two tasks of one name', () => {
    const [one] = (litmusDocument()['spec'] as { tasks: Json[] }).tasks
    const lonely = refusalsOf(
      litmus(litmusDocument({ spec: { tasks: [one, { ...one, name: 'two' }] } })),
    )
    expect(lonely.map((r) => r.path)).toEqual(['spec.tasks[1]'])
    const twins = refusalsOf(litmus(litmusDocument({ spec: { tasks: [one, one] } })))
    expect(twins.map((r) => r.path)).toEqual(['spec.tasks[1].name'])
  })

  it('another group or kind', () => {
    expect(
      refusalsOf(litmus({ ...litmusDocument(), apiVersion: 'litmuchaos.io/v1alpha1' })),
    ).toEqual([
      {
        path: 'apiVersion',
        reason: '"litmuchaos.io/v1alpha1" is not known',
        suggestion: 'did you mean litmuschaos.io/v1alpha1?',
      },
    ])
    expect(refusalsOf(litmus(null))[0]?.reason).toContain('not a document')
  })

  it.each([
    'pod-jvm-modify-return',
    'pod-jvm-sql-exception',
    'pod-jvm-solace-exception',
    'pod-jvm-method-latency',
    'redis-cache-expire',
  ])('the published fragment %s, for all that it lacks', (name) => {
    const paths = refusalsOf(litmus(published(`${name}.yaml`))).map((r) => r.path)
    expect(paths).toContain('spec.tasks[0].name')
    expect(paths).toContain('spec.tasks[0].definition.chaos.experiment')
    expect(paths).toContain('spec.tasks[0].definition.targets.selectors.workloads')
  })
})

describe('targets that come later', () => {
  const hog = { chaos: { experiment: 'pod-cpu-hog' } }
  const written = (mode: string, over: Over = {}) => {
    const document: Json = litmusDocument({ ...hog, ...over })
    const [task] = (document['spec'] as { tasks: { definition: { targets: Json } }[] }).tasks
    if (task) task.definition.targets['mode'] = mode
    return litmus(document)
  }
  it('are hit when the mode is dynamic, in either spelling and dialect', () => {
    expect(planOf(written('dynamic')).tasks[0]?.dynamic).toBe(true)
    expect(planOf(written('Static')).tasks[0]?.dynamic).toBeUndefined()
    expect(taskOf(hog).dynamic).toBeUndefined()
    expect(taskOf({ ...hog, env: { TARGETS_MODE: 'dynamic' } }).dynamic).toBe(true)
    const stress = { action: { type: 'pod-cpu-stress', parameters: {} } }
    const spec = { ...stress, execution: { targets: 'dynamic' } }
    expect(planOf(chaosplane(chaosplaneDocument(spec))).tasks[0]?.dynamic).toBe(true)
    expect(planOf(chaosplane(chaosplaneDocument(stress))).tasks[0]?.dynamic).toBeUndefined()
  })
  it('have no turn in a series, and are no nodes', () => {
    const path = 'spec.tasks[0].definition.targets.mode'
    const serial = refusalsOf(written('dynamic', { env: { SEQUENCE: 'serial' } }))
    expect(serial).toMatchObject([{ path, suggestion: expect.stringMatching(/parallel/) }])
    const taint = { chaos: { experiment: 'node-taint' }, env: { TAINTS: 'a=b:NoSchedule' } }
    expect(refusalsOf(written('dynamic', taint))).toMatchObject([{ path }])
    expect(refusalsOf(written('all'))).toMatchObject([{ path }])
  })
  it('are what a strike selects anyway', () => {
    const plan = planOf(written('dynamic', { chaos: { experiment: 'pod-delete' } }))
    expect(plan.tasks[0]?.dynamic).toBeUndefined()
    expect(plan.notes.join()).toMatch(/each strike selects anew/)
  })
})

describe('a ChaosExperiment', () => {
  it('hits every pod that matches, once', () => {
    const plan = planOf(
      chaosplane(chaosplaneDocument({}, { 'chaos.chaosplane.io/service-account': 'me' })),
    )
    expect(plan).toMatchObject({
      account: 'me',
      runId: 'uid-1',
      experimentId: 'uid-1',
      recoveryMs: null,
    })
    expect(plan.tasks[0]).toMatchObject({
      fault: 'pod-delete',
      faultWritten: 'pod-kill',
      params: { gracePeriodSeconds: 0, interval: null },
      selection: {
        share: 'all',
        workloads: [{ kind: 'any', namespace: 'demo', labels: 'app=web' }],
      },
      durationMs: 30_000,
    })
    expect(planOf(chaosplane(chaosplaneDocument())).account).toBe(null)
  })

  it('reads expressions, names, numbers and the container', () => {
    const expressions = { matchExpressions: [{ key: 'tier', operator: 'In', values: ['a', 'b'] }] }
    const target = { kind: 'Pod', namespace: 'demo', labelSelector: expressions }
    const action = {
      type: 'pod-cpu-stress',
      parameters: { workers: 2, load: '50', containerName: 'app' },
    }
    expect(
      planOf(chaosplane(chaosplaneDocument({ target, action, duration: 45 }))).tasks[0],
    ).toMatchObject({
      params: { workers: 2, loadPercent: 50 },
      durationMs: 45_000,
      selection: { container: 'app', workloads: [{ labels: 'tier in (a,b)' }] },
    })
    const named = planOf(chaosplane(chaosplaneDocument({ target: { ...target, names: ['x'] } })))
    expect(named.tasks[0]?.selection.workloads).toEqual([
      { kind: 'pod', namespace: 'demo', names: ['x'], labels: '' },
    ])
    expect(named.notes.join()).toContain('labelSelector is not used')
  })

  it('turns steady states and abort conditions into probes', () => {
    const http = { url: 'http://web.demo.svc/health', expectedBody: 'ok' }
    const k8s = { resource: 'pods', labelSelector: 'app=web', condition: { minReady: 2 } }
    const plan = planOf(
      chaosplane(
        chaosplaneDocument({
          steadyState: {
            before: [{ name: 'web', type: 'http', http }],
            after: [
              { name: 'web', type: 'http', http },
              { type: 'k8s', k8s },
            ],
            recoveryTimeout: '2m',
          },
          abortConditions: [{ name: 'down', type: 'http', http, action: 'rollback' }],
        }),
      ),
    )
    expect(plan.recoveryMs).toBe(120_000)
    const probes = plan.tasks[0]?.probes as {
      name: string
      mode: string
      run: { stopOnFailure: boolean }
    }[]
    expect(probes.map((p) => [p.name, p.mode, p.run.stopOnFailure])).toEqual([
      ['web', 'SOT', true],
      ['web-EOT', 'EOT', false],
      ['after-2', 'EOT', false],
      ['down', 'AbortWhen', false],
    ])
    expect(probes[0]).toMatchObject({
      inputs: {
        responseCode: { value: '200' },
        responseBody: { criteria: 'contains', value: 'ok' },
      },
    })
    expect(probes[2]).toMatchObject({
      inputs: { resource: 'pods', namespace: 'demo', minimum: 2, ready: true },
    })
    expect(probes[3]).toMatchObject({ action: 'rollback' })
  })

  const cases: [string, Json, string, RegExp][] = [
    [
      'an action of the other dialect',
      { action: { type: 'pod-delete' } },
      'spec.action.type',
      /did you mean pod-kill\?/,
    ],
    [
      'an action that is not built',
      { action: { type: 'aws-ec2-stop' } },
      'spec.action.type',
      /these are built: .*pod-cpu-stress, pod-kill/,
    ],
    [
      'a misspelt parameter',
      { action: { type: 'pod-kill', parameters: { gracePeriodSecond: '1' } } },
      'spec.action.parameters.gracePeriodSecond',
      /gracePeriodSeconds/,
    ],
    [
      'a bad parameter',
      { action: { type: 'pod-cpu-stress', parameters: { load: '0' } } },
      'spec.action.parameters.load',
      /1 to 100/,
    ],
    ['a node', { target: { kind: 'Node', names: ['n1'] } }, 'spec.target.kind', /Pod/],
    [
      'a selector of nothing',
      { target: { kind: 'Pod', namespace: 'a', labelSelector: {} } },
      'spec.target.labelSelector',
      /matchLabels/,
    ],
    [
      'a prometheus probe',
      { steadyState: { before: [{ name: 'p', type: 'prometheus', prometheus: {} }] } },
      'spec.steadyState.before[0].type',
      /http, k8s/,
    ],
    [
      'an unknown end',
      { abortConditions: [{ name: 'p', type: 'http', http: { url: 'http://a' }, action: 'stop' }] },
      'spec.abortConditions[0].action',
      /abort, pause, rollback/,
    ],
    ['no duration', { duration: '0s' }, 'spec.duration', /30s/],
    ['a missing part', { action: undefined }, 'spec.action', /kubectl explain/],
  ]
  it.each(cases)('refuses %s', (_name, spec, path, suggestion) => {
    const refusals = refusalsOf(chaosplane(chaosplaneDocument(spec)))
    expect(refusals.find((r) => r.path === path)?.suggestion).toMatch(suggestion)
  })
})
