import { BadDuration, parseDuration } from './duration.ts'
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
