import type { NodeOrder } from './fault-pod.ts'

const name = 'CHAOSPLANE_ORDER'
/** Linux takes at most 128 KiB for one variable, name included. An order of 200 targets may need more. */
const mostChars = 100_000

/** The second is `_2`; the fault program reads them in this order (`runner/fault-pod/order-text.ts`). */
const variable = (part: number): string => (part === 0 ? name : `${name}_${part + 1}`)

/**
 * The order as variables of the pod's environment: JSON, cut into parts. All of it is ASCII, so that a cut goes
 * through no character, and without a dollar sign, which kubelet would read as a reference.
 */
export function orderVariables(order: NodeOrder): { name: string; value: string }[] {
  const escaped = (char: string) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`
  const text = JSON.stringify(order).replace(/[^\x20-\x7e]|\$/g, escaped)
  const parts = Math.ceil(text.length / mostChars)
  return Array.from({ length: parts }, (_, part) => ({
    name: variable(part),
    value: text.slice(part * mostChars, (part + 1) * mostChars),
  }))
}
