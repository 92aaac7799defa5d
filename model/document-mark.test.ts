import { expect, it } from 'vitest'
import { accountAnnotation } from './compile/chaos-experiment.ts'
import { documentMark } from './document-mark.ts'

const spec = {
  experimentRunId: 'r1',
  engineState: 'active',
  duration: '30s',
  target: { kind: 'Node', names: ['a', 'b'] },
}
const metadata = { annotations: { [accountAnnotation]: 'chaos', other: '1' } }
const mark = documentMark('ChaosExperiment', { metadata, spec })

it.each([
  ['the duration', { ...spec, duration: '60s' }],
  ['the order of a list', { ...spec, target: { kind: 'Node', names: ['b', 'a'] } }],
  ['something deep inside', { ...spec, target: { kind: 'Pod', names: ['a', 'b'] } }],
  ['a field that was not there', { ...spec, rollback: {} }],
  ['a field that is gone', { duration: '30s' }],
])('is another one when %s has changed', (_name, changed) =>
  expect(documentMark('ChaosExperiment', { metadata, spec: changed })).not.toBe(mark),
)

it.each([
  ['the order of fields', { ...spec, target: { names: ['a', 'b'], kind: 'Node' } }],
  ['the id of the next run', { ...spec, experimentRunId: 'r2' }],
  ['a stop by the control plane', { ...spec, engineState: 'stop' }],
  ['the absence of what control planes write', { duration: '30s', target: spec.target }],
])('is the same whatever %s', (_name, changed) =>
  expect(documentMark('ChaosExperiment', { metadata, spec: changed })).toBe(mark),
)

it('knows the account where the annotation names it, and no other annotation', () => {
  const as = (account: string, kind: Parameters<typeof documentMark>[0] = 'ChaosExperiment') =>
    documentMark(kind, { metadata: { annotations: { [accountAnnotation]: account } }, spec })
  expect(as('chaos')).toBe(mark)
  expect(as('other')).not.toBe(mark)
  expect(as('other', 'KubernetesChaosExperiment')).toBe(as('chaos', 'KubernetesChaosExperiment'))
})
