/** The JSON text of the order, of which the environment has the parts; undefined when there is none. */
export function orderText(env: Readonly<Record<string, string | undefined>>): string | undefined {
  const first = env['CHAOSPLANE_ORDER']
  if (first === undefined) return undefined
  const parts = [first]
  for (let part = 2; ; part++) {
    const more = env[`CHAOSPLANE_ORDER_${part}`]
    if (more === undefined) return parts.join('')
    parts.push(more)
  }
}
