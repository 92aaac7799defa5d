import { expect, it } from 'vitest'
import { abortOf, pauseIn } from './claim.ts'

const annotated = (annotations: Record<string, string>) => ({
  metadata: { name: 'a', uid: 'u', resourceVersion: '1', annotations },
})

it.each([
  [{ 'chaos.chaosplane.io/pause': 'true' }, 'annotation chaos.chaosplane.io/pause'],
  [{ 'chaosplane.io/paused': 'True' }, 'annotation chaosplane.io/paused'],
  [{ 'chaosplane.dev/pause': 'yes' }, 'annotation chaosplane.dev/pause'],
  [{ 'litmuschaos.io/pause': '1' }, 'annotation litmuschaos.io/pause'],
  [{ 'chaos.chaosplane.io/pause': 'false' }, null],
  [{ 'chaos.chaosplane.io/pause': '' }, null],
  [{ 'chaos.chaosplane.io/abort': 'true' }, null],
  [{}, null],
])('%o pauses by %s', (annotations, by) => {
  expect(pauseIn(annotated(annotations))).toBe(by)
})

it('a pause is no abort', () =>
  expect(abortOf(annotated({ 'chaos.chaosplane.io/pause': 'true' }), {})).toBeNull())
