import { BadTunable } from '../../../model/fault.ts'

export const taintEffects = ['NoSchedule', 'PreferNoSchedule', 'NoExecute'] as const
export type TaintEffect = (typeof taintEffects)[number]

/** As it stands in `spec.taints` of a node; key and effect together are unique there. */
export type Taint = { key: string; value?: string | undefined; effect: string; timeAdded?: string }

export const sameKey = (a: Taint, b: Taint): boolean => a.key === b.key && a.effect === b.effect

export const sameTaint = (a: Taint | null, b: Taint | null): boolean =>
  a === null || b === null ? a === b : sameKey(a, b) && (a.value ?? '') === (b.value ?? '')

/** As kubectl writes it: `key=value:Effect`, or `key:Effect`. */
export const taintText = ({ key, value = '', effect }: Taint): string =>
  `${key}${value === '' ? '' : `=${value}`}:${effect}`

/** The list with `now` in the place of `before`; order and everything else stay. */
export function withTaint(taints: readonly Taint[], like: Taint, now: Taint | null): Taint[] {
  const at = taints.findIndex((t) => sameKey(t, like))
  if (at < 0) return now === null ? [...taints] : [...taints, now]
  return taints.flatMap((t, i) => (i === at ? (now === null ? [] : [now]) : [t]))
}

const name = /^([a-z0-9]([-a-z0-9.]*[a-z0-9])?\/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/
const value = /^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$/

/** Checks the parts of one taint. Throws BadTunable for `tunable`. */
export function taintOf(
  parts: { key: string; value: string; effect: string },
  tunable: string,
): Taint {
  const bad = (reason: string): BadTunable =>
    new BadTunable(tunable, reason, 'write for example "chaos=on:NoSchedule"')
  if (!name.test(parts.key)) throw bad(`${JSON.stringify(parts.key)} is not the key of a taint`)
  if (!value.test(parts.value))
    throw bad(`${JSON.stringify(parts.value)} is not the value of a taint`)
  const effect = taintEffects.find((e) => e.toLowerCase() === parts.effect.toLowerCase())
  if (!effect)
    throw bad(
      `${JSON.stringify(parts.effect)} is not an effect: it is one of ${taintEffects.join(', ')}`,
    )
  return { key: parts.key, ...(parts.value === '' ? {} : { value: parts.value }), effect }
}

/** Reads `key=value:Effect`, several separated by commas. Throws BadTunable. */
export function parseTaints(text: string, tunable: string): Taint[] {
  const taints = text
    .split(',')
    .map((one) => one.trim())
    .filter((one) => one !== '')
    .map((one) => {
      const [, key = '', given = '', effect = ''] = /^([^=:]*)(?:=([^:]*))?:?(.*)$/.exec(one) ?? []
      return taintOf({ key: key.trim(), value: given.trim(), effect: effect.trim() }, tunable)
    })
  const twin = taints.find((t, i) => taints.findIndex((o) => sameKey(o, t)) !== i)
  if (twin)
    throw new BadTunable(
      tunable,
      `${twin.key} with effect ${twin.effect} stands there twice`,
      'write every key and effect once',
    )
  return taints
}
