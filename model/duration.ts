/** Why a text is no duration, as a full sentence. */
export class BadDuration extends Error {
  constructor(reason: string) {
    super(reason)
    this.name = 'BadDuration'
  }
}

const unitMs: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  μs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
}

/** Timers hold at most 2^31 - 1 milliseconds; a longer one would fire at once. */
export const longestMs = 576 * 3_600_000

const part = /(\d+(?:\.\d*)?|\.\d+)(ns|us|\u00b5s|\u03bcs|ms|s|m|h)/y
const plain = /^\d+(\.\d+)?$/

const refuse = (value: unknown, why: string): BadDuration =>
  new BadDuration(
    `${JSON.stringify(value)} is not a duration: ${why}; write for example 30, "30s", "1m30s" or "500ms"`,
  )

function sumOfParts(text: string): number {
  let total = 0
  part.lastIndex = 0
  while (part.lastIndex < text.length) {
    const at = part.lastIndex
    const match = part.exec(text)
    const [number, unit] = [match?.[1], match?.[2]]
    if (number === undefined || unit === undefined)
      throw refuse(text, `a number with a unit is needed at ${JSON.stringify(text.slice(at))}`)
    total += Number(number) * (unitMs[unit] ?? 0)
  }
  return total
}

/** Milliseconds of a Go duration (`1h30m`, `1.5s`, `100ms`) or of plain seconds, as number or text. Throws BadDuration. */
export function parseDuration(value: unknown): number {
  if (typeof value !== 'number' && typeof value !== 'string')
    throw refuse(value, 'a number or a text is needed')
  const text = String(value).trim()
  if (text === '') throw refuse(value, 'it is empty')
  if (text.startsWith('-')) throw refuse(value, 'it is negative')
  const ms = Math.round(plain.test(text) ? Number(text) * 1000 : sumOfParts(text))
  if (ms > longestMs) throw refuse(value, 'it is longer than 576h, the longest that is kept')
  return ms
}

/** The shortest Go duration of whole milliseconds: `1h30m0s` is written `1h30m`. */
export function formatDuration(ms: number): string {
  if (ms === 0) return '0s'
  const hours = Math.floor(ms / 3_600_000)
  const minutes = Math.floor((ms % 3_600_000) / 60_000)
  const seconds = Math.floor((ms % 60_000) / 1000)
  const rest = ms % 1000
  return [
    [hours, 'h'],
    [minutes, 'm'],
    [seconds, 's'],
    [rest, 'ms'],
  ]
    .filter(([n]) => n !== 0)
    .map(([n, unit]) => `${n}${unit}`)
    .join('')
}
