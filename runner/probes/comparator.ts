import type { Comparator } from '../../model/probe.ts'
import { findPattern, quote } from './pattern.ts'

/** What a comparator said. `unusable`: it cannot be evaluated as it is written, whatever was observed. */
export type Comparison =
  | { result: 'holds' | 'differs'; text: string }
  | { result: 'unusable'; text: string }

const numberCriteria = ['>=', '<=', '>', '<', '==', '!=', 'oneOf', 'between'] as const
const stringCriteria = ['equal', 'notEqual', 'contains', 'matches', 'notMatches', 'oneOf'] as const
type NumberCriterion = (typeof numberCriteria)[number]
type StringCriterion = (typeof stringCriteria)[number]

const unusable = (text: string): Comparison => ({ result: 'unusable', text })
const judged = (holds: boolean, text: string): Comparison => ({
  result: holds ? 'holds' : 'differs',
  text,
})

const lowerFirst = (text: string): string => text.charAt(0).toLowerCase() + text.slice(1)
const listOf = (value: string): string[] => value.split(',').map((entry) => entry.trim())

function criterionOf<C extends string>(written: string, valid: readonly C[]): C | undefined {
  const criterion = lowerFirst(written.trim())
  return valid.find((one) => one === criterion)
}

const unknown = (written: string, kind: string, valid: readonly string[]): Comparison =>
  unusable(
    `The criteria ${quote(written)} is not known for ${kind}; use one of ${valid.join(', ')}.`,
  )

/** One order for whole numbers of any size and for floats. */
type Ordered = bigint | number
type Numbers = { word: string; read(text: string): Ordered | undefined }

const whole: Numbers = {
  word: 'a whole number',
  read: (text) => (/^[+-]?\d+$/.test(text) ? BigInt(text.replace(/^\+/, '')) : undefined),
}
const real: Numbers = {
  word: 'a number',
  read(text) {
    if (/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text)) return Number(text)
    const infinite = /^([+-]?)inf(inity)?$/i.exec(text)
    if (!infinite) return undefined
    return infinite[1] === '-' ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY
  },
}

const orders: Record<NumberCriterion, (seen: Ordered, wanted: Ordered[]) => boolean> = {
  '>=': (seen, [a]) => a !== undefined && seen >= a,
  '<=': (seen, [a]) => a !== undefined && seen <= a,
  '>': (seen, [a]) => a !== undefined && seen > a,
  '<': (seen, [a]) => a !== undefined && seen < a,
  '==': (seen, [a]) => seen === a,
  '!=': (seen, [a]) => seen !== a,
  oneOf: (seen, wanted) => wanted.includes(seen),
  between: (seen, [a, b]) => a !== undefined && b !== undefined && a <= seen && seen <= b,
}

function compareNumbers(numbers: Numbers, comparator: Comparator, observed: string): Comparison {
  const criterion = criterionOf(comparator.criteria, numberCriteria)
  if (!criterion) return unknown(comparator.criteria, comparator.type, numberCriteria)
  const many = criterion === 'oneOf' || criterion === 'between'
  const entries = many ? listOf(comparator.value) : [comparator.value.trim()]
  const wanted: Ordered[] = []
  for (const entry of entries) {
    const read = numbers.read(entry)
    if (read === undefined)
      return unusable(
        `The value ${quote(comparator.value)} of criteria ${criterion} must be ${many ? 'a comma list, each ' : ''}${numbers.word}, got ${quote(entry)}.`,
      )
    wanted.push(read)
  }
  const limits = criterion === 'between' ? wrongLimits(wanted) : undefined
  if (limits) return unusable(`The value ${quote(comparator.value)} of criteria between ${limits}`)
  const seen = numbers.read(observed)
  if (seen === undefined)
    return judged(false, `expected ${numbers.word}, observed ${quote(observed)}`)
  const holds = orders[criterion](seen, wanted)
  return judged(holds, `observed ${observed}, expected ${criterion} ${comparator.value.trim()}`)
}

function wrongLimits(wanted: Ordered[]): string | undefined {
  const [low, high] = wanted
  if (wanted.length !== 2 || low === undefined || high === undefined)
    return 'must be two numbers with a comma between them, for example "10,20".'
  return low > high ? 'must name the smaller number first.' : undefined
}

function compareStrings(comparator: Comparator, observed: string): Comparison {
  // == and != are how container and APM probes write equality of texts
  const symbol = comparator.criteria.trim()
  const word = symbol === '==' ? 'equal' : symbol === '!=' ? 'notEqual' : symbol
  const criterion = criterionOf(word, stringCriteria)
  if (!criterion) return unknown(comparator.criteria, 'string', stringCriteria)
  const text = `observed ${quote(observed)}, expected ${criterion} ${quote(comparator.value)}`
  const { value } = comparator
  switch (criterion) {
    case 'equal':
      return judged(observed === value, text)
    case 'notEqual':
      return judged(observed !== value, text)
    case 'contains':
      return judged(observed.includes(value), text)
    case 'oneOf':
      return judged(observed === value || listOf(value).includes(observed), text)
    case 'matches':
    case 'notMatches':
      return comparePattern(criterion, { pattern: value, observed, text })
  }
}

function comparePattern(
  criterion: StringCriterion & ('matches' | 'notMatches'),
  { pattern, observed, text }: { pattern: string; observed: string; text: string },
): Comparison {
  const answer = findPattern(pattern, observed)
  if ('unusable' in answer) return unusable(answer.unusable)
  if (criterion === 'matches')
    return judged(answer.found, answer.cut ? `${text} in the first 64 KiB` : text)
  // what was not looked at may still match: that must not become a pass
  if (!answer.found && answer.cut)
    return unusable('The text is longer than the 64 KiB that notMatches can look at.')
  return judged(!answer.found, text)
}

/** Compares what was observed with what a probe expects. */
export function compare(comparator: Comparator, observed: string): Comparison {
  switch (comparator.type) {
    case 'int':
      return compareNumbers(whole, comparator, observed.trim())
    case 'float':
      return compareNumbers(real, comparator, observed.trim())
    case 'string':
      return compareStrings(comparator, observed)
  }
}

/** Why a comparator cannot be evaluated as it is written; null: it can. Known before anything is observed. */
export function refuseComparator(comparator: Comparator): string | null {
  const tried = compare(comparator, comparator.type === 'string' ? '' : '0')
  return tried.result === 'unusable' ? tried.text : null
}

/** The comparator for an HTTP status. */
export const codeComparator = (wanted: { criteria: string; value: string }): Comparator => ({
  type: 'int',
  ...wanted,
})

/** The comparator for an HTTP body. */
export const bodyComparator = (wanted: { criteria: string; value: string }): Comparator => ({
  type: 'string',
  ...wanted,
})
