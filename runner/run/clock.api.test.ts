import { afterAll, afterEach, beforeAll, expect, it, vi } from 'vitest'
import { PosedRunner } from './testing/posed-runner.ts'

const holdMs = 4000
let posed: PosedRunner

beforeAll(async () => {
  posed = await PosedRunner.alone('clock-tests')
}, 240_000)
afterEach(() => vi.useRealTimers())
afterAll(() => posed?.end())

it('a taint is held for as long as asked when the clock of the runner is set back by an hour', async () => {
  const node = 'node-back'
  await posed.makeNode(node)
  const deadline = performance.now() + 30_000
  await posed.create('taint-back', {
    duration: `${holdMs / 1000}s`,
    target: { kind: 'Node', names: [node] },
    action: { type: 'node-taint', parameters: { key: 'story' } },
  })
  const isTainted = async () => (await posed.taints(node)).length > 0
  const until = async (tainted: boolean): Promise<number> => {
    while ((await isTainted()) !== tainted) {
      if (performance.now() > deadline) throw new Error(`not within time: tainted ${tainted}`)
      await new Promise((done) => setTimeout(done, 20))
    }
    return performance.now()
  }
  const from = await until(true)
  await new Promise((done) => setTimeout(done, 1000))
  vi.useFakeTimers({ toFake: ['Date'], now: Date.now() - 3_600_000 })
  const heldMs = (await until(false)) - from
  expect(heldMs).toBeGreaterThan(holdMs - 300)
  expect(heldMs).toBeLessThan(holdMs + 2000)
}, 60_000)
