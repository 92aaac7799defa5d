import { BadDuration, formatDuration, parseDuration } from './duration.ts'
import { BadTunable, type Tunables } from './fault.ts'

/** A tunable as it was written, without the space around it; empty when unset. */
export const textOf = (tunables: Tunables, name: string): string => (tunables[name] ?? '').trim()

/** Reads a whole number within bounds; unset gives the default. Throws BadTunable. */
export function wholeNumber(
  tunables: Tunables,
  { name, min, max, unset }: { name: string; min: number; max: number; unset: number },
): number {
  const text = textOf(tunables, name)
  if (text === '') return unset
  const value = Number(text)
  if (!/^[+-]?\d+$/.test(text) || value < min || value > max)
    throw new BadTunable(
      name,
      `${JSON.stringify(text)} is not a whole number from ${min} to ${max}`,
      `write a number from ${min} to ${max}, or leave it out for ${unset}`,
    )
  return value
}

/** Reads a share in whole percent, with or without its sign; unset gives the default. Throws BadTunable. */
export function percentage(
  tunables: Tunables,
  { name, min, unset }: { name: string; min: number; unset: number },
): number {
  const text = textOf(tunables, name).replace(/\s*%$/, '')
  return wholeNumber({ [name]: text }, { name, min, max: 100, unset })
}

/** Reads a duration of which plain numbers are milliseconds; unset gives the default. Throws BadTunable. */
export function milliseconds(
  tunables: Tunables,
  { name, min, max, unset }: { name: string; min: number; max: number; unset: number },
): number {
  const text = textOf(tunables, name)
  if (text === '') return unset
  const ms = /^\d+(\.\d+)?$/.test(text) ? Math.round(Number(text)) : parsed(name, text)
  if (ms >= min && ms <= max) return ms
  throw new BadTunable(
    name,
    `${JSON.stringify(text)} is not from ${min} ms to ${formatDuration(max)}`,
    'write for example "2s", "100ms", or plain milliseconds such as "100"',
  )
}

function parsed(name: string, text: string): number {
  try {
    return parseDuration(text)
  } catch (error) {
    if (!(error instanceof BadDuration)) throw error
    throw new BadTunable(
      name,
      error.message,
      'write for example "2s", "100ms", or plain milliseconds',
    )
  }
}

/** Reads true or false in any case; unset gives the default. Throws BadTunable. */
export function yesOrNo(tunables: Tunables, name: string, unset: boolean): boolean {
  const text = textOf(tunables, name).toLowerCase()
  if (text === '') return unset
  if (text === 'true') return true
  if (text === 'false') return false
  throw new BadTunable(
    name,
    `${JSON.stringify(text)} is neither true nor false`,
    `write "true" or "false", or leave it out for "${unset}"`,
  )
}

/** Reads a duration (plain numbers are seconds); unset gives the default. Throws BadTunable. */
export function duration(
  tunables: Tunables,
  { name, minMs, unset }: { name: string; minMs: number; unset: number },
): number {
  const text = textOf(tunables, name)
  if (text === '') return unset
  try {
    const ms = parseDuration(text)
    if (ms >= minMs) return ms
  } catch (error) {
    if (!(error instanceof BadDuration)) throw error
    throw new BadTunable(name, error.message, 'write seconds, for example "30"')
  }
  throw new BadTunable(
    name,
    `${JSON.stringify(text)} is shorter than ${minMs} ms`,
    `write at least ${minMs} ms, for example "30"`,
  )
}
