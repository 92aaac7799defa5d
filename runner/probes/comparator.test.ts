import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Comparator } from '../../model/probe.ts'
import { type Comparison, compare, refuseComparator } from './comparator.ts'

type Row = [type: Comparator['type'], criteria: string, value: string, observed: string]
const result = ([type, criteria, value, observed]: Row): Comparison['result'] =>
  compare({ type, criteria, value }, observed).result

const holds: Record<string, Row> = {
  'int == a number with a sign and blanks': ['int', '==', ' +5 ', '5\n'],
  'int beyond 2^53 is exact': ['int', '>', '9007199254740992', '9007199254740993'],
  'int oneOf a list': ['int', 'oneOf', '200, 201', '201'],
  'int oneOf a single entry': ['int', 'oneOf', '200', '200'],
  'int between is inclusive at the lower end': ['int', 'between', '200,299', '200'],
  'int between is inclusive at the upper end': ['int', 'between', '200,299', '299'],
  'int below zero': ['int', '<=', '-1', '-2'],
  'int != another': ['int', '!=', '0', '1'],
  'float < with an exponent': ['float', '<', '1e3', '999.5'],
  'float >= with a bare point': ['float', '>=', '.5', '0.5'],
  'float Inf of Prometheus': ['float', '>', '1e300', '+Inf'],
  'float oneOf compares numbers, not texts': ['float', 'oneOf', '1.50,2', '1.5'],
  'first letter in upper case: OneOf': ['int', 'OneOf', '1,2', '2'],
  'first letter in upper case: Between': ['float', 'Between', '1,2', '1.5'],
  'first letter in upper case: Equal': ['string', 'Equal', 'a', 'a'],
  'string equal with a comma in its value': ['string', 'equal', 'a,b', 'a,b'],
  'string contains': ['string', 'contains', '[P000]', 'ok [P000] done'],
  'string notEqual': ['string', 'notEqual', 'a', 'b'],
  'string matches a part': ['string', 'matches', 'v[0-9]+$', 'server v12'],
  'string matches with a leading flag as Go writes it': ['string', 'matches', '(?i)READY', 'ready'],
  'string matches a POSIX class': ['string', 'matches', '^[[:digit:]]+$', '42'],
  'string notMatches': ['string', 'notMatches', '^5', '200'],
  'string oneOf a single entry': ['string', 'oneOf', 'up', 'up'],
  'string oneOf with blanks': ['string', 'oneOf', 'up, ready', 'ready'],
  'string == as container probes write it': ['string', '==', 'a', 'a'],
}
const differs: Record<string, Row> = {
  'text that is not a number is not 0': ['int', '==', '0', 'no route to host'],
  'text that is not a number is below nothing': ['float', '<', '5', 'NaN'],
  'an empty output is not 0': ['int', '>=', '0', ''],
  'a fraction is not a whole number': ['int', '>=', '0', '1.5'],
  'int between, one above': ['int', 'between', '200,299', '300'],
  'string equal minds case': ['string', 'equal', 'Up', 'up'],
  'string matches minds case': ['string', 'matches', 'READY', 'ready'],
  'string . does not pass a line end': ['string', 'matches', 'a.b', 'a\nb'],
  'string ^ is the begin of the text, not of a line': ['string', 'matches', '^b', 'a\nb'],
  'an escaped backslash before A stays one': ['string', 'matches', '\\\\A', 'A'],
}
const unusable: Record<string, Row> = {
  'unknown criteria': ['int', 'about', '5', '5'],
  'criteria of another type': ['int', 'contains', '5', '5'],
  'criteria that only looks like one': ['string', 'toString', '5', '5'],
  'expected value is not a number': ['int', '==', 'many', '5'],
  'expected value is empty': ['float', '>', '', '5'],
  'between with one value': ['int', 'between', '5', '5'],
  'between with three values': ['int', 'between', '1,2,3', '2'],
  'between the wrong way round': ['int', 'between', '9,1', '5'],
  'oneOf with an empty entry': ['int', 'oneOf', '1,,2', '2'],
  'expression that cannot be read': ['string', 'matches', '(', 'x'],
  'expression without end': ['string', 'matches', '(a+)+$', `${'a'.repeat(40)}b`],
  'notMatches over more than can be looked at': ['string', 'notMatches', 'z', 'a'.repeat(70_000)],
}

describe('a comparator', () => {
  it.each(Object.entries(holds))('holds: %s', (_, row) => expect(result(row)).toBe('holds'))
  it.each(Object.entries(differs))('differs: %s', (_, row) => expect(result(row)).toBe('differs'))
  it.each(Object.entries(unusable))('is unusable: %s', (_, row) =>
    expect(result(row)).toBe('unusable'),
  )

  it('names the valid criteria when one is unknown', () => {
    const said = refuseComparator({ type: 'float', criteria: 'about', value: '1' })
    expect(said).toBe(
      'The criteria "about" is not known for float; use one of >=, <=, >, <, ==, !=, oneOf, between.',
    )
  })

  it('says plainly that a text is no number', () => {
    const { text } = compare({ type: 'int', criteria: '==', value: '1' }, 'refused')
    expect(text).toBe('expected a whole number, observed "refused"')
  })

  it('is refused before anything is observed when it can never be evaluated', () => {
    for (const [type, criteria, value] of Object.values(unusable).slice(0, 10))
      expect(refuseComparator({ type, criteria, value }), `${criteria} ${value}`).not.toBeNull()
    for (const [type, criteria, value] of [...Object.values(holds), ...Object.values(differs)])
      expect(refuseComparator({ type, criteria, value }), `${criteria} ${value}`).toBeNull()
  })

  it('shows a long observation only in part', () => {
    const { text } = compare({ type: 'string', criteria: 'equal', value: 'x' }, 'y'.repeat(9999))
    expect(text.length).toBeLessThan(200)
  })
})

describe('for any two numbers', () => {
  const pairs = fc.tuple(fc.maxSafeInteger(), fc.maxSafeInteger())
  const int = (criteria: string, value: unknown, observed: number) =>
    result(['int', criteria, String(value), String(observed)])

  it('exactly one of <, ==, > holds, and <=, >=, != follow', () =>
    fc.assert(
      fc.property(pairs, ([seen, wanted]) => {
        const of = (criteria: string) => int(criteria, wanted, seen) === 'holds'
        expect([of('<'), of('=='), of('>')].filter(Boolean)).toHaveLength(1)
        expect(of('<=')).toBe(!of('>'))
        expect(of('>=')).toBe(!of('<'))
        expect(of('!=')).toBe(!of('=='))
      }),
    ))

  it('between is <= and >= together', () =>
    fc.assert(
      fc.property(pairs, fc.maxSafeInteger(), ([a, b], seen) => {
        const [low, high] = a < b ? [a, b] : [b, a]
        const inside = int('>=', low, seen) === 'holds' && int('<=', high, seen) === 'holds'
        expect(int('between', `${low},${high}`, seen) === 'holds').toBe(inside)
      }),
    ))

  it('a float compares as the number it is', () =>
    fc.assert(
      fc.property(fc.double({ noNaN: true }), fc.double({ noNaN: true }), (seen, wanted) => {
        const row: Row = ['float', '<', String(wanted), String(seen)]
        expect(result(row) === 'holds').toBe(seen < wanted)
      }),
    ))
})

describe('for any text', () => {
  it('equal and notEqual, contains and equal agree', () =>
    fc.assert(
      fc.property(fc.string(), fc.string(), (seen, wanted) => {
        const of = (criteria: string) => result(['string', criteria, wanted, seen]) === 'holds'
        expect(of('equal')).toBe(!of('notEqual'))
        if (of('equal')) expect(of('contains') && of('oneOf')).toBe(true)
      }),
    ))

  it('no expression and no text makes it throw', () =>
    fc.assert(
      fc.property(fc.string(), fc.string(), (seen, pattern) => {
        const found = result(['string', 'matches', pattern, seen])
        const not = result(['string', 'notMatches', pattern, seen])
        expect([found, not].sort()).toEqual(
          found === 'unusable' ? ['unusable', 'unusable'] : ['differs', 'holds'],
        )
      }),
    ))
})
