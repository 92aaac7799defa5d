import { expect, it } from 'vitest'
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
    seed: 1,
    at: 0,
    previousRunIds: [],
  }
  expect(JSON.stringify(refusedRun(refusals, birth)).length).toBeLessThan(5000)
})
