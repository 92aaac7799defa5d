import { execFile } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'
import { parse, stringify } from 'yaml'
import { kubernetesChaosExperimentStatus } from '../model/documents/status.ts'
import { binary } from '../test-e2e/cluster/binaries.ts'
import { apiServer } from '../test-e2e/setup/worker.ts'
import { crds } from './crd.ts'

const run = promisify(execFile)
const fixtures = new URL('../model/documents/fixtures/', import.meta.url)
const examples = new URL('../examples/', import.meta.url)
const path = (url: URL): string => fileURLToPath(url)

/** stdout and stderr of kubectl, whether it succeeded or not. */
async function kubectl(args: string[], input?: string): Promise<{ ok: boolean; text: string }> {
  const child = run(binary('kubectl'), [`--kubeconfig=${apiServer().kubeconfig}`, ...args], {
    timeout: 30_000,
  })
  if (input !== undefined) child.child.stdin?.end(input)
  return child.then(
    ({ stdout, stderr }) => ({ ok: true, text: stdout + stderr }),
    (error: { stdout: string; stderr: string }) => ({
      ok: false,
      text: error.stdout + error.stderr,
    }),
  )
}

const apply = (document: unknown, ...more: string[]) =>
  kubectl(['apply', '-f', '-', ...more], stringify(document))

async function namespace(name: string): Promise<void> {
  await kubectl(['create', 'namespace', name])
}

const read = (name: string): Record<string, unknown> =>
  parse(readFileSync(new URL(name, fixtures), 'utf8'))
const inNamespace = (doc: Record<string, unknown>, ns: string) => ({
  ...doc,
  metadata: { ...(doc['metadata'] as object), namespace: ns },
})

/** What kubectl leaves out when it sends a document. */
function withoutNulls(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutNulls)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, v]) => v !== null)
      .map(([k, v]) => [k, withoutNulls(v)]),
  )
}

describe('documents as users write them', () => {
  it.each([
    ['apply', 'crd-a', []],
    ['apply --server-side', 'crd-b', ['--server-side']],
  ])(
    'the published experiment by kubectl %s, and nothing of it is lost',
    async (_how, ns, more) => {
      await namespace(ns)
      const doc = read('seed-experiment.json')
      const { ok, text } = await apply(inNamespace(doc, ns), ...more)
      expect(text, text).toContain('api-payload-test')
      expect(ok).toBe(true)
      const stored = await kubectl(['get', 'kce', 'api-payload-test', '-n', ns, '-o', 'json'])
      expect(withoutNulls(JSON.parse(stored.text).spec)).toEqual(withoutNulls(doc['spec']))
    },
  )

  const published = readdirSync(fixtures).filter((f) => f.endsWith('.yaml'))
  it.each(published)('%s is admitted when it is YAML', async (name) => {
    await namespace('crd-corpus')
    let doc: Record<string, unknown>
    try {
      doc = read(name)
    } catch {
      const refused = await kubectl(['apply', '-f', path(new URL(name, fixtures))])
      expect(refused).toMatchObject({ ok: false, text: expect.stringMatching(/line \d+/) })
      return
    }
    for (const more of [[], ['--server-side', '--force-conflicts']]) {
      const { ok, text } = await apply(inNamespace(doc, 'crd-corpus'), ...more)
      expect(ok, text).toBe(true)
    }
  })

  it.each(readdirSync(examples).filter((f) => f.endsWith('.yaml')))('examples/%s', async (name) => {
    await namespace('v2')
    const { ok, text } = await kubectl([
      'apply',
      '--server-side',
      '-f',
      path(new URL(name, examples)),
    ])
    expect(ok, text).toBe(true)
  })

  it('unknown fields are kept for the compiler, which says what is wrong with them', async () => {
    await namespace('crd-odd')
    const env = [{ name: 'FORCE', VALUE: 'true' }]
    const doc = {
      apiVersion: 'litmuschaos.io/v1alpha1',
      kind: 'KubernetesChaosExperiment',
      metadata: { name: 'odd', namespace: 'crd-odd' },
      spec: {
        annotationCheck: 'false',
        steps: null,
        tasks: [{ probeRefs: [{ a: 1 }], definition: { chaos: { env } } }],
      },
    }
    const { ok, text } = await apply(doc)
    expect(ok, text).toBe(true)
    const { spec } = JSON.parse(
      (await kubectl(['get', 'kce', 'odd', '-n', 'crd-odd', '-o', 'json'])).text,
    )
    expect(spec).toMatchObject({
      annotationCheck: 'false',
      tasks: [{ probeRefs: [{ a: 1 }], definition: { chaos: { env } } }],
    })
  })
})

describe('refused at admission, with path and reason', () => {
  const kce = (spec: unknown) => ({
    apiVersion: 'litmuschaos.io/v1alpha1',
    kind: 'KubernetesChaosExperiment',
    metadata: { name: 'bad', namespace: 'default' },
    spec,
  })
  const ce = (spec: Record<string, unknown>) => ({
    apiVersion: 'chaos.chaosplane.io/v1alpha1',
    kind: 'ChaosExperiment',
    metadata: { name: 'bad', namespace: 'default' },
    spec: {
      target: { kind: 'Pod', namespace: 'a', names: ['x'] },
      action: { type: 'pod-kill' },
      duration: '30s',
      ...spec,
    },
  })
  const cases: [string, unknown, RegExp][] = [
    [
      'task name',
      kce({ tasks: [{ name: 'Bad_Name' }] }),
      /spec\.tasks\[0\]\.name: .*lower-case letters/,
    ],
    ['run id', kce({ experimentRunId: 'a b' }), /spec\.experimentRunId: .*becomes a label/],
    ['clean-up', kce({ cleanupPolicy: 'keep' }), /spec\.cleanupPolicy: .*"delete", "retain"/],
    ['duration', ce({ duration: '5x' }), /spec\.duration: .*30s, 5m or 1h/],
    ['zero seconds', ce({ duration: 0 }), /spec\.duration: .*30s, 5m or 1h/],
    [
      'no namespace',
      ce({ target: { kind: 'Pod', names: ['x'] } }),
      /spec\.target: .*namespace is needed/,
    ],
    [
      'no selection',
      ce({ target: { kind: 'Pod', namespace: 'a', names: [] } }),
      /spec\.target: .*names or target\.labelSelector/,
    ],
    [
      'kind',
      ce({ target: { kind: 'Service', namespace: 'a', names: ['x'] } }),
      /spec\.target\.kind: .*"Pod", "Node"/,
    ],
  ]
  it.each(cases)('%s', async (_name, doc, reason) => {
    const { ok, text } = await apply(doc)
    expect(ok).toBe(false)
    expect(text).toMatch(reason)
  })

  it('accepts a plain number of seconds', async () => {
    const good = { ...ce({ duration: 30 }), metadata: { name: 'good', namespace: 'default' } }
    expect((await apply(good)).ok).toBe(true)
  })
})

describe('status', () => {
  it('is written by two owners who never touch each other', async () => {
    await namespace('crd-status')
    await apply(inNamespace(read('seed-experiment.json'), 'crd-status'))
    const say = (owner: string, status: unknown) =>
      apply(
        {
          apiVersion: 'litmuschaos.io/v1alpha1',
          kind: 'KubernetesChaosExperiment',
          metadata: { name: 'api-payload-test', namespace: 'crd-status' },
          status,
        },
        '--server-side',
        '--subresource=status',
        `--field-manager=${owner}`,
      )
    const state = (runner: string) => ({
      runId: 'r',
      notifyId: '',
      runner,
      instance: 'i',
      generation: 1,
      seed: 1,
      startedAt: 1,
      notes: [],
      tasks: [],
      adoptions: 0,
      previousRunIds: [],
    })
    const condition = {
      type: 'Progressing',
      status: 'True',
      reason: 'A',
      message: 'b',
      lastTransitionTime: '2026-01-01T00:00:00Z',
    }
    for (const [owner, status] of [
      ['runner', { run: state('one') }],
      [
        'operator',
        {
          phase: 'Running',
          verdict: 'Awaited',
          resiliencyScore: 99.5,
          progress: '1/2',
          conditions: [condition],
        },
      ],
      ['runner', { run: { ...state('two'), tasks: [] } }],
    ] as const) {
      const { ok, text } = await say(owner, status)
      expect(ok, text).toBe(true)
    }
    const table = await kubectl(['get', 'chaos', '-n', 'crd-status'])
    expect(table.text).toMatch(/PHASE\s+VERDICT\s+SCORE\s+PROGRESS\s+AGE/)
    expect(table.text).toMatch(/Running\s+Awaited\s+99.5\s+1\/2/)
    const { status } = JSON.parse(
      (await kubectl(['get', 'kce', 'api-payload-test', '-n', 'crd-status', '-o', 'json'])).text,
    )
    expect(kubernetesChaosExperimentStatus.parse(status).run?.runner).toBe('two')
    const wrong = await say('operator', { phase: 'Sleeping' })
    expect(wrong.text).toMatch(/status\.phase: .*supported values/)
  })
})

describe('generated files', () => {
  it.each(Object.keys(crds))('%s is what the schemas say, and helm keeps it', (name) => {
    const text = (folder: string) =>
      readFileSync(new URL(`../${folder}/${name}`, import.meta.url), 'utf8')
    expect(parse(text('crds'))).toEqual(JSON.parse(JSON.stringify(crds[name])))
    expect(parse(text('config/chart/templates/crds')).metadata.annotations).toEqual({
      'helm.sh/resource-policy': 'keep',
    })
  })

  it.each(Object.entries(crds))('every field of %s has a description', (_name, crd) => {
    const bare: string[] = []
    const walk = (node: unknown, at: string): void => {
      if (typeof node !== 'object' || node === null) return
      const { properties, items, additionalProperties } = node as Record<string, unknown>
      for (const [key, value] of Object.entries((properties ?? {}) as Record<string, object>)) {
        if (!('description' in value) && `${at}.${key}` !== '.metadata') bare.push(`${at}.${key}`)
        walk(value, `${at}.${key}`)
      }
      walk(items, `${at}[]`)
      walk(additionalProperties, `${at}{}`)
    }
    const spec = (crd as { spec: { versions: { schema: { openAPIV3Schema: unknown } }[] } }).spec
    walk(spec.versions[0]?.schema.openAPIV3Schema, '')
    expect(bare).toEqual([])
  })
})
