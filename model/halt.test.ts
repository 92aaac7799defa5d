import { expect, it } from 'vitest'
import { haltAnnotation, haltReason, haltRefusal } from './halt.ts'

it.each([
  ['no annotations', undefined, null],
  ['other annotations', { a: 'b' }, null],
  ['a reason', { [haltAnnotation]: ' incident 17 ' }, 'incident 17'],
  ['true', { [haltAnnotation]: 'true' }, 'true'],
  ['no words', { [haltAnnotation]: '' }, 'no reason given'],
  ['false', { [haltAnnotation]: 'False' }, null],
  ['a novel', { [haltAnnotation]: 'x'.repeat(900) }, `${'x'.repeat(149)}…`],
])('%s', (_what, annotations, reason) => expect(haltReason(annotations)).toBe(reason))

it('a refusal names the place of the switch, its reason and the way on', () => {
  expect(haltRefusal('incident 17', 'chaosplane')).toEqual({
    path: 'ConfigMap chaosplane/chaosplane-harness, annotation chaos.chaosplane.io/halt',
    reason: 'the kill switch is pulled (incident 17), so nothing is begun',
    suggestion: 'have it lifted, then create the experiment anew, or give it a new experimentRunId',
  })
})
