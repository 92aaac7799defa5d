import { readdirSync, readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parseAllDocuments } from 'yaml'
import { compile } from '../../model/compile/compile.ts'
import { chaosplaneDocument, litmusDocument, published } from '../../model/compile/fixtures.ts'
import { parseProbe } from '../../model/compile/probe.ts'
import { isObject, type Json } from '../../model/compile/problems.ts'
import { parseDuration } from '../../model/duration.ts'
import { parseSelector } from '../../model/label-selector.ts'
import type { Plan, Refusal, TaskPlan } from '../../model/plan.ts'
import { faultCatalogue } from './catalogue.generated.ts'

const here = new URL('./', import.meta.url)
const examples = readdirSync(here, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .flatMap(({ name }) => {
    const text = readFileSync(new URL(`${name}/example.yaml`, here), 'utf8')
    return parseAllDocuments(text).map((d) => d.toJS() as Json)
  })
const everything = {
  TOTAL_CHAOS_DURATION: '30',
  TARGET_PODS: '',
  TARGET_CONTAINER: 'app',
  NODE_LABEL: 'zone=a',
  POD_AFFECTED_PERCENTAGE: '50',
  SEQUENCE: 'serial',
}
const documents: Json[] = [
  ...examples,
  published('seed-experiment.json'),
  litmusDocument({
    env: everything,
    workloads: [{ kind: 'deployment', namespace: 'demo', names: 'web,db', labels: 'app=web' }],
  }),
  litmusDocument({ env: { TARGET_PODS: 'web-0,web-1', TARGET_CONTAINER: 'app' } }),
  chaosplaneDocument({
    target: { kind: 'Pod', namespace: 'demo', names: ['web-0', 'web-1'] },
    action: { type: 'pod-cpu-stress', parameters: { containerName: 'app', load: '50' } },
  }),
]

/** What people, tools and accidents put into fields. */
const odd: unknown[] = [
  ...[
    null,
    '',
    ' ',
    ',',
    ' , ',
    0,
    -1,
    1.5,
    true,
    false,
    [],
    {},
    [null],
    [''],
    ['a', ''],
    { a: 1 },
  ],
  ...[
    'a',
    'a,b',
    'a,',
    '*',
    'web-*',
    'Web',
    'a/b',
    'a=b',
    'a=b,',
    'a in (b',
    '!a',
    '100',
    '50%',
    '200',
  ],
  ...['true', 'FALSE', 'serial', 'daemonSet', 'KIND', 'any', 'pod', 'all', 'one', '1h', '5 min'],
  ...['__proto__', 'constructor', '\u0000', 'ü', 'x'.repeat(300), '9'.repeat(400), '99999999999'],
]
const oddValue = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom(...odd) },
  { weight: 1, arbitrary: fc.jsonValue({ maxDepth: 2 }) },
)
const oddKey = fc.oneof(
  fc.constantFrom('__proto__', 'constructor', 'toString', '', ' ', 'x', 'names', 'labels', 'mode'),
  fc.string({ maxLength: 8 }),
)
type Mangling = { where: number; how: number; value: unknown; key: string }
const mangling: fc.Arbitrary<Mangling> = fc.record({
  where: fc.nat(),
  how: fc.nat(6),
  value: oddValue,
  key: oddKey,
})

type Place = { holder: Json | unknown[]; key: string | number }

/** Every place in a document below the kind, with its holder. */
function placesOf(value: unknown, found: Place[] = []): Place[] {
  if (Array.isArray(value))
    value.forEach((inner, key) => {
      found.push({ holder: value, key })
      placesOf(inner, found)
    })
  else if (isObject(value))
    for (const key of Object.keys(value)) {
      found.push({ holder: value, key })
      placesOf(value[key], found)
    }
  return found
}

const misspelt = (key: string): string =>
  `${key.slice(0, -2)}${key.at(-1) ?? ''}${key.at(-2) ?? ''}`

function mangle(spec: unknown, { where, how, key, ...mangling }: Mangling): void {
  // The odd values are shared by all: put in as they are, one could end up inside itself.
  const value = structuredClone(mangling.value)
  const places = placesOf(spec)
  const place = places[where % Math.max(1, places.length)]
  if (!place) return
  const holder = place.holder as Record<string | number, unknown>
  const old = holder[place.key]
  const set = (name: string | number, to: unknown): void => {
    Object.defineProperty(holder, name, {
      value: to,
      enumerable: true,
      configurable: true,
      writable: true,
    })
  }
  const remove = (): void => {
    if (Array.isArray(place.holder)) place.holder.splice(Number(place.key), 1)
    else delete holder[place.key]
  }
  if (how === 0) remove()
  else if (how === 1) set(place.key, value)
  else if (how === 2) set(place.key, [old])
  else if (how === 3 && Array.isArray(place.holder)) place.holder.push(structuredClone(old))
  else if (how === 4 && typeof place.key === 'string') {
    remove()
    set(misspelt(place.key), old)
  } else if (how === 5 && !Array.isArray(place.holder)) set(key, value)
  else if (typeof old === 'string') set(place.key, `${old}${JSON.stringify(value)}`)
}

const mangled = fc
  .tuple(fc.constantFrom(...documents), fc.array(mangling, { minLength: 1, maxLength: 4 }))
  .map(([document, manglings]) => {
    const copy = structuredClone(document)
    for (const one of manglings) mangle(copy['spec'], one)
    return copy
  })

const compiled = (document: Json) =>
  compile(document['kind'] as Plan['dialect'], document, faultCatalogue)

const explained = ({ path, reason, suggestion }: Refusal): boolean =>
  [path, reason, suggestion].every((text) => typeof text === 'string' && text.trim() !== '')

/* What a document says about its targets, read by hand and not by the compiler. */
const list = (value: unknown): Json[] => (Array.isArray(value) ? value.filter(isObject) : [])
const at = (value: unknown, ...path: string[]): unknown =>
  path.reduce<unknown>((inner, key) => (isObject(inner) ? inner[key] : undefined), value)
/** Not every object can be made a text of: one has a `toString` of its own that is no function. */
const plain = (value: unknown): string =>
  typeof value === 'object' && value !== null ? JSON.stringify(value) : String(value ?? '')
const text = (value: unknown): string =>
  (Array.isArray(value) ? value.map(plain).join(',') : plain(value)).trim()
const parts = (value: unknown): string[] =>
  text(value)
    .split(',')
    .map((p) => p.trim())
    .filter(Boolean)
/** What is given to narrow something and says nothing has no place in a document that is carried out. */
function expectSaid(...values: unknown[]): void {
  for (const value of values)
    if (Array.isArray(value) ? value.length > 0 : ![undefined, null, ''].includes(value as null))
      expect(parts(value), `nothing is said by ${JSON.stringify(value)}`).not.toEqual([])
}
const requirements = (labels: string): number => parseSelector(labels).length

type Entry = { namespace: string; names: string[]; labels: string }

/** Each entry of the plan has all the restrictions of the one that was written. */
function expectAsNarrow(planned: TaskPlan['selection']['workloads'], written: Entry[]): void {
  expect(planned.length).toBeLessThanOrEqual(written.length)
  planned.forEach((entry, i) => {
    const own = written[i] as Entry
    expect(entry.namespace).toBe(own.namespace)
    expect([...entry.names].sort()).toEqual([...new Set(own.names)].sort())
    expect(requirements(entry.labels)).toBe(requirements(own.labels))
    if (entry.names.length === 0 && own.labels === '') expect(entry.kind).toBe('any')
  })
}

const entryOf = (written: Json): Entry => ({
  namespace: text(written['namespace']),
  names: parts(written['names']),
  labels: text(written['labels']),
})

const narrowing = [
  'TARGET_PODS',
  'TARGET_CONTAINER',
  'NODE_LABEL',
  'TARGET_WORKLOAD_NAMES',
  'TARGET_WORKLOAD_LABELS',
]

function expectLitmusNoWider(document: Json, plan: Plan): void {
  const tasks = list(at(document, 'spec', 'tasks'))
  expect(plan.account ?? '').toBe(text(at(document, 'spec', 'serviceAccountName')))
  expect(plan.tasks.map((t) => t.name)).toEqual(tasks.map((t) => text(t['name'])))
  expect(plan.steps.flat().sort()).toEqual(plan.tasks.map((t) => t.name).sort())
  plan.tasks.forEach((task, i) => {
    const definition = at(tasks[i], 'definition')
    const env = new Map(
      list(at(definition, 'chaos', 'env'))
        .filter((e) => e['value'] !== null && e['value'] !== undefined)
        .map((e) => [text(e['name']), String(e['value'])]),
    )
    const said = (name: string): string => (env.get(name) ?? '').trim()
    const { selection } = task
    const selectors = at(definition, 'targets', 'selectors')
    const written = [...list(at(selectors, 'workloads')), ...list(at(selectors, 'pods'))]
    for (const { names, labels } of written) expectSaid(names, labels)
    for (const name of narrowing) expectSaid(env.get(name))
    const entries = written.map(entryOf)
    const inEnv = {
      namespace: said('TARGET_WORKLOAD_NAMESPACE'),
      names: parts(said('TARGET_WORKLOAD_NAMES')),
      labels: said('TARGET_WORKLOAD_LABELS'),
    }
    expectAsNarrow(selection.workloads, entries.length > 0 ? entries : [inEnv])
    expect([...selection.pods].sort()).toEqual([...new Set(parts(said('TARGET_PODS')))].sort())
    expect(selection.nodeLabel).toBe(said('NODE_LABEL'))
    expect(selection.container).toBe(said('TARGET_CONTAINER'))
    const node = faultCatalogue[task.fault]?.targets === 'nodes'
    const shares = (
      node
        ? ['NODES_AFFECTED_PERCENTAGE', 'NODES_AFFECTED_PERC']
        : ['POD_AFFECTED_PERCENTAGE', 'PODS_AFFECTED_PERC', 'POD_AFFECTED_PERC']
    ).map(said)
    const percent = Math.max(0, ...shares.map((p) => Number(p.replace('%', ''))))
    if (percent === 0) expect(selection.share).toBe('one')
    else expect(selection.share).toBeLessThanOrEqual(percent)
    const duration = said('TOTAL_CHAOS_DURATION')
    if (duration !== '') expect(task.durationMs).toBe(parseDuration(duration))
    if (said('SEQUENCE') !== '') expect(task.sequence).toBe(said('SEQUENCE').toLowerCase())
    if (task.fault === 'pod-delete' && said('FORCE').toLowerCase() !== 'true')
      expect(task.params['gracePeriodSeconds']).toBe(null)
  })
}

function expectChaosplaneNoWider(document: Json, plan: Plan): void {
  const spec = at(document, 'spec')
  const target = at(spec, 'target')
  const names = [...new Set(parts(at(target, 'names')))].sort()
  expectSaid(at(target, 'names'))
  const { selection, durationMs } = plan.tasks[0] as TaskPlan
  if (text(at(target, 'kind')) === 'Node') expect([...selection.nodes].sort()).toEqual(names)
  else {
    const [entry] = selection.workloads
    expect(entry?.namespace).toBe(text(at(target, 'namespace')))
    expect([...(entry?.names ?? [])].sort()).toEqual(names)
  }
  const labels = selection.workloads[0]?.labels ?? selection.nodeLabel
  const equalities = Object.keys((at(target, 'labelSelector', 'matchLabels') ?? {}) as Json).length
  const sets = list(at(target, 'labelSelector', 'matchExpressions')).length
  expect(requirements(labels)).toBe(names.length > 0 ? 0 : equalities + sets)
  if (names.length === 0) expect(labels).not.toBe('')
  const parameters = at(spec, 'action', 'parameters')
  const container = ['containerName', 'container'].map((n) => text(at(parameters, n))).find(Boolean)
  expect(selection.container).toBe(container ?? '')
  const duration = at(spec, 'action', 'duration') ?? at(spec, 'duration')
  expect(durationMs).toBe(parseDuration(String(duration)))
}

describe('documents out of shape', () => {
  it('are the right ones before they are mangled', () => {
    const kinds = documents.map((d) => compiled(d).ok)
    expect(kinds).toEqual(documents.map(() => true))
  })

  it('are carried out no wider than they are written, or refused with paths, and nothing throws', () => {
    let [accepted, refused] = [0, 0]
    fc.assert(
      fc.property(mangled, (document) => {
        const result = compiled(document)
        if (!result.ok) {
          refused++
          expect(result.refusals.length).toBeGreaterThan(0)
          expect(result.refusals.filter((r) => !explained(r))).toEqual([])
          return
        }
        accepted++
        if (document['kind'] === 'ChaosExperiment') expectChaosplaneNoWider(document, result.plan)
        else expectLitmusNoWider(document, result.plan)
        // What is stored in status, sent to a fault pod, or compared after an adoption is JSON.
        expect(JSON.parse(JSON.stringify(result.plan))).toEqual(result.plan)
      }),
      { numRuns: 1500 },
    )
    // The property says little when everything falls on one side.
    expect(Math.min(accepted, refused)).toBeGreaterThan(150)
  })

  it.each([
    ['KubernetesChaosExperiment', 'litmuschaos.io/v1alpha1'],
    ['ChaosExperiment', 'chaos.chaosplane.io/v1alpha1'],
  ] as const)('of any JSON at all throw nothing: %s', (kind, apiVersion) => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 4 }), fc.boolean(), (value, dressed) => {
        const document = dressed ? { apiVersion, kind, metadata: {}, spec: value } : value
        const result = compile(kind, document, faultCatalogue)
        expect(result.ok ? [] : result.refusals.filter((r) => !explained(r))).toEqual([])
      }),
      { numRuns: 500 },
    )
  })

  it.each([
    [
      'a label',
      {
        target: {
          kind: 'Pod',
          namespace: 'a',
          labelSelector: { matchLabels: JSON.parse('{"a":"b","__proto__":"c"}') },
        },
      },
    ],
    ['a parameter', { action: { type: 'pod-kill', parameters: JSON.parse('{"__proto__":"c"}') } }],
  ])('with a name that objects do not show are refused: %s', (_name, spec) => {
    const result = compiled(chaosplaneDocument(spec))
    expect(result.ok ? [] : result.refusals.map((r) => r.path)[0]).toMatch(/__proto__$/)
  })

  it('of any depth throw nothing', () => {
    const deep = JSON.parse(`${'['.repeat(9000)}${']'.repeat(9000)}`)
    const document = litmusDocument({ task: { values: deep } })
    const result = compiled(document)
    expect(result.ok ? [] : result.refusals).toMatchObject([{ reason: 'it is nested too deeply' }])
    const probe = { name: 'p', type: 'httpProbe', mode: 'SOT', data: deep }
    expect(parseProbe(probe, 'SOT', 'p').ok).toBe(false)
  })

  it('of the registry of probes throw nothing either', () => {
    const probe = {
      name: 'p',
      type: 'httpProbe',
      mode: 'SOT',
      'httpProbe/inputs': {
        url: 'https://a',
        auth: { type: 'Basic', credentialsFile: 'a/b' },
        tlsConfig: { caFile: 'a/c' },
        headers: { a: 'b' },
        method: { post: { body: 'x', criteria: '==', responseCode: '200' } },
      },
      runProperties: { probeTimeout: '1s', attempt: 2, verbosity: 'debug' },
    }
    const any = fc.array(mangling, { minLength: 1, maxLength: 4 }).map((manglings) => {
      const copy = structuredClone(probe)
      for (const one of manglings) mangle(copy, one)
      return copy
    })
    fc.assert(
      fc.property(any, fc.boolean(), (value, asText) => {
        const parsed = parseProbe(asText ? JSON.stringify(value) : value, 'SOT', 'p')
        if (!parsed.ok) {
          expect(parsed.refusals.filter((r) => !explained(r))).toEqual([])
          return
        }
        expect(Object.values(parsed.probe.run).some(Number.isNaN)).toBe(false)
      }),
      { numRuns: 1500 },
    )
  })
})
