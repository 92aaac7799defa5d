import { expect, it } from 'vitest'
import type { NodeLine } from '../../model/fault-pod.ts'
import { targetState } from '../../model/testing.ts'
import type { Attached } from './node-parts.ts'
import { NodeStream } from './node-stream.ts'
import { PosedNode } from './testing/posed-node.ts'

const failed = (seq: number, target: string): NodeLine => ({
  seq,
  at: 1,
  event: 'inject-failed',
  target,
  code: 'CHAOS_INJECT_ERROR',
  reason: 'r',
})
const order = {
  protocol: 1,
  cluster: 'c',
  node: 'n1',
  run: 'r1',
  task: 'hog',
  resource: { kind: 'ChaosExperiment', namespace: 'v2', name: 'x', uid: 'u' },
  fault: 'pod-cpu-hog',
  params: {},
  targets: [],
  holdMs: 1,
  start: 'wait',
  attempt: 2,
  after: 0,
  armedForMs: 1,
} as const

/** What the runner makes of a program that says these lines before it reads our hello, and all of them after it; null: it ends. */
async function heard(first: NodeLine[], all: NodeLine[] | null): Promise<(string | undefined)[]> {
  const targets = ['demo/a', 'demo/b'].map((id) => targetState(id, { node: 'n1' }))
  const node = new PosedNode(targets, () => undefined)
  let answer: () => void = () => {}
  const asked = new Promise<void>((resolve) => {
    answer = resolve
  })
  async function* lines() {
    for (const line of first) yield JSON.stringify(line)
    await asked
    if (!all) return
    for (const line of [{ hello: 1, last: all.length }, ...all]) yield JSON.stringify(line)
  }
  const attached: Attached = {
    lines: lines(),
    send: async (text) => {
      if (text.includes('hello')) answer()
    },
    close: () => {},
  } as Attached
  const ends = {
    onHello: () => {},
    onBye: () => {},
    onEvent: () => {},
    orderOf: async () => null,
    signal: AbortSignal.timeout(5000),
  }
  const parts = { ...node.parts(), attach: async () => attached }
  await new NodeStream(parts, node.links({ ...order, targets: [] }), ends).talk('p')
  return node.task.targets.map(({ id, state }) => `${id} ${state}`)
}

const both = [failed(1, 'demo/a'), failed(2, 'demo/b')]
const told = ['demo/a failed', 'demo/b failed']

it('an event that is told before those that were missed does not hide them', async () =>
  expect(await heard([failed(2, 'demo/b')], both)).toEqual(told))
it('an event that is told before the answer is taken once', async () =>
  expect(await heard([failed(1, 'demo/a')], both)).toEqual(told))
it('what was told by a program that ended before it answered is not lost', async () =>
  expect(await heard(both, null)).toEqual(told))
