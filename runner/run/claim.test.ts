import { describe, expect, it } from 'vitest'
import { claimAnnotation } from '../../model/runner-life.ts'
import { abortOf, holdOf, pauseIn } from './claim.ts'

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

describe('the hold on a run', () => {
  const me = { pod: 'a', instance: '1' }
  const seen = (resourceVersion: string, holder: string | null) => ({
    metadata: {
      ...{ name: 'x', uid: 'u', resourceVersion },
      annotations: holder === null ? {} : { [claimAnnotation]: holder },
    },
  })
  const claimed = seen('10', 'a/1')
  const lost = (who: string) => ({ is: 'lost', why: `${who} holds the run now` })

  it.each([
    ['11', 'a/1', { is: 'ours' }],
    ['11', 'b/7', lost('runner b')],
    // another life of the same pod
    ['11', 'a/2', lost('runner a')],
    // carried to its end by another one, and let go
    ['11', null, lost('nobody')],
    // 9 is before 10, though not as text
    ['9', null, { is: 'unknown' }],
    ['9', 'b/7', { is: 'unknown' }],
    ['10', 'a/1', { is: 'unknown' }],
  ])('is seen in version %s, held by %s', (version, holder, hold) => {
    expect(holdOf(seen(version, holder), { me, claimed, letting: false })).toEqual(hold)
  })

  it('is not known before the claim is answered', () => {
    const before = { me, claimed: null, letting: false }
    for (const holder of ['a/1', 'b/7', null])
      expect(holdOf(seen('11', holder), before)).toEqual({ is: 'unknown' })
  })

  it('is over when we let it go, but not when another one has taken it', () => {
    const letting = { me, claimed, letting: true }
    expect(holdOf(seen('11', null), letting)).toEqual({ is: 'over' })
    expect(holdOf(seen('11', 'b/7'), letting)).toEqual(lost('runner b'))
  })
})
