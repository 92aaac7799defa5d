import type { NodeOrder } from './fault-pod.ts'

const name = 'CHAOSPLANE_ORDER'
/** Linux takes at most 128 KiB for one variable, name included. An order of 200 targets may need more. */
const mostChars = 100_000

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

/** The JSON text of an order, undefined when there is none. */
export function orderText(env: Readonly<Record<string, string | undefined>>): string | undefined {
  let text = env[name]
  for (let part = 1; text !== undefined; part++) {
    const more = env[variable(part)]
    if (more === undefined) break
    text += more
  }
  return text
}
