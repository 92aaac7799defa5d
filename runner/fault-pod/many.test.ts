import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { bytesOf } from '../../model/snapshot.ts'
import { cannotPose, PosedContainer } from './testing/container.ts'
import { bundleProgram, exitOf, orderFor, PosedPod, until } from './testing/pod.ts'

const why = cannotPose()
/** Status keeps records of 200: `CHAOSPLANE_MANY=200 vitest run many`. So many starve the tests beside this one. */
const count = Number(process.env['CHAOSPLANE_MANY'] ?? 50)
let folder = ''
let program = ''

describe.skipIf(why !== '')(`many targets on one node${why && ` (skipped: ${why})`}`, () => {
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'fault-pod-many-'))
    program = await bundleProgram(folder)
  })
  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  it('are armed, injected by one go and put back by one stop', async () => {
    const containers = Array.from({ length: count }, () => new PosedContainer())
    // Of so many stressors on a small machine each gets the CPU rarely: how soon is measured, not asserted.
    const order = orderFor(containers, {
      start: 'wait',
      holdMs: 120_000,
      params: { workers: 1, loadPercent: 1 },
    })
    const pod = new PosedPod(program, order)
    const told = (name: string): number => pod.names().filter((one) => one === name).length
    try {
      const from = performance.now()
      pod.start()
      await until(20_000, () => told('armed') === count)
      const armed = performance.now()
      pod.send({ do: 'go', holdMs: order.holdMs })
      await until(60_000, () => told('injected') + told('inject-failed') === count)
      const injected = performance.now()
      const hit = told('injected')
      expect(hit).toBeGreaterThan(count / 2)
      pod.send({ do: 'stop', reason: 'abort' })
      await until(20_000, () => told('reverted') === hit)
      const clean = performance.now()
      const ms = (a: number, b: number): string => `${Math.round(b - a)} ms`
      console.log(
        `${count} targets: order ${bytesOf(order)} bytes, armed ${ms(from, armed)}, ${hit} injected ${ms(armed, injected)}, put back ${ms(injected, clean)}`,
      )
      expect(containers.flatMap((container) => container.strangers())).toEqual([])
      expect(pod.files().filter((file) => file.startsWith('go-'))).toEqual([])
      pod.send({ do: 'quit' })
      expect(await exitOf(pod.program)).toBe(0)
      expect(pod.hasJournal()).toBe(false)
      expect(pod.stray).toBe('')
    } finally {
      pod.remove()
      await Promise.all(containers.map((container) => container.remove()))
    }
  }, 120_000)
})
