import { expect, it } from 'vitest'
import type { NodeOrder } from '../../model/fault-pod.ts'
import { orderVariables } from '../../model/order-env.ts'
import { orderText } from './order-text.ts'

const orderOf = (count: number, length: number): NodeOrder => ({
  protocol: 1,
  cluster: 'c',
  node: 'n',
  run: 'r',
  task: 't',
  resource: { kind: 'ChaosExperiment', namespace: 'demo', name: 'one', uid: 'u' },
  fault: 'pod-cpu-hog',
  params: { text: 'schön $(HOME) $$ 🙂'.repeat(100) },
  targets: Array.from({ length: count }, (_, i) => {
    const [namespace, pod, container] = ['n', 'pppp', 'c'].map((c) => c.repeat(length)) as [
      string,
      string,
      string,
    ]
    return {
      id: `${namespace}/${pod}-${i}/${container}`,
      namespace,
      pod: `${pod}-${i}`,
      podUid: 'u'.repeat(36),
      container,
      containerId: 'i'.repeat(64),
    }
  }),
  holdMs: 1000,
  start: 'wait',
  attempt: 1,
  after: 0,
  armedForMs: 1000,
})
const envOf = (order: NodeOrder) =>
  Object.fromEntries(orderVariables(order).map(({ name, value }) => [name, value]))

it.each([
  ['one target: one variable', 1, 20, ['CHAOSPLANE_ORDER']],
  ['200 targets with usual names: one variable', 200, 20, ['CHAOSPLANE_ORDER']],
  [
    '200 targets with long names: two, for one would be larger than Linux takes',
    200,
    63,
    ['CHAOSPLANE_ORDER', 'CHAOSPLANE_ORDER_2'],
  ],
])('%s', (_name, count, length, names) => {
  const order = orderOf(count, length)
  const env = envOf(order)
  expect(Object.keys(env)).toEqual(names)
  expect(JSON.parse(orderText(env) ?? '')).toEqual(order)
  for (const [name, value] of Object.entries(env)) {
    expect(Buffer.byteLength(`${name}=${value}`)).toBeLessThan(128 * 1024)
    expect(value).not.toContain('$')
  }
})

it('an environment without an order has none', () => expect(orderText({})).toBeUndefined())
