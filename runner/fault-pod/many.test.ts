import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { NodeEvent } from '../../model/fault-pod.ts'
import { bytesOf } from '../../model/snapshot.ts'
import type { PosedContainer } from './testing/container.ts'
import { bundleProgram, exitOf, orderFor, PosedPod, until } from './testing/pod.ts'
import { paramsOf, posedFaults } from './testing/posed-faults.ts'

/** `CHAOSPLANE_MANY=200 vitest run many`. */
const asked = process.env['CHAOSPLANE_MANY']
let folder = ''
let program = ''

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'fault-pod-many-'))
  program = await bundleProgram(folder)
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

type Many = {
  fault: 'pod-cpu-hog' | 'pod-network-partition'
  params: Record<string, unknown>
  count: number
  /** what is left of it in all of these */
  left(containers: readonly PosedContainer[]): unknown
}

/** All rules of the networks of these processes; one shell, for there are many. */
function rulesOf(containers: readonly PosedContainer[]): string {
  const script =
    'for p; do nsenter "--net=/proc/$p/ns/net" nft list ruleset || echo "failed: $p"; done'
  const pids = containers.map(({ pid }) => String(pid))
  const { stdout, stderr } = spawnSync('sh', ['-c', script, 'sh', ...pids], { encoding: 'utf8' })
  return stdout + stderr
}

const cases: Many[] = [
  {
    fault: 'pod-cpu-hog',
    params: { workers: 1, loadPercent: 1 },
    // 200 stressors take all of the machine for 15 s, and starve the tests beside this one
    count: Number(asked ?? 50),
    left: (containers) => containers.flatMap((container) => container.strangers()),
  },
  {
    fault: 'pod-network-partition',
    params: paramsOf('pod-network-partition'),
    // so many stay on record (decision 0004)
    count: Number(asked ?? 200),
    left: rulesOf,
  },
]

/** The events of one name, by target: never two of one target. */
function each<Name extends NodeEvent['event']>(pod: PosedPod, name: Name) {
  type Event = Extract<NodeEvent, { event: Name }> & { target: string }
  const all = pod.events.filter(({ event }) => event === name) as Event[]
  const byTarget = new Map(all.map((event) => [event.target, event]))
  expect(byTarget.size, name).toBe(all.length)
  return byTarget
}

describe.each(cases)('$count targets of $fault on one node', ({ fault, params, count, left }) => {
  const posed = posedFaults[fault]

  it.skipIf(posed.cannot() !== '')(
    'are armed, hit by one go or told why not, and put back by one stop, each once',
    async () => {
      const containers = Array.from({ length: count }, () => posed.pose())
      if (fault !== 'pod-cpu-hog') await Promise.all(containers.map((one) => one.ready()))
      const before = left(containers)
      const order = orderFor(containers, { fault, params, start: 'wait', holdMs: 120_000 })
      const ids = order.targets.map(({ id }) => id).sort()
      const pod = new PosedPod(program, order)
      const told = (...names: string[]): number =>
        pod.names().filter((one) => names.includes(one)).length
      try {
        const from = performance.now()
        pod.start()
        await until(
          30_000,
          () => told('armed') === count,
          () => pod.stray,
        )
        expect([...each(pod, 'armed').keys()].sort()).toEqual(ids)
        const armed = performance.now()
        pod.send({ do: 'go', holdMs: order.holdMs })
        await until(
          60_000,
          () => told('injected', 'inject-failed') >= count,
          () => pod.stray,
        )
        const injected = performance.now()
        const hit = each(pod, 'injected')
        const missed = each(pod, 'inject-failed')
        expect([...hit.keys(), ...missed.keys()].sort()).toEqual(ids)
        // Of so many stressors on a small machine each gets the CPU rarely: one that shows no effect in time is put back.
        if (fault !== 'pod-cpu-hog') expect([...missed.values()]).toEqual([])
        for (const { code, reason } of missed.values()) {
          expect(code).toBe('EFFECT_NOT_SEEN')
          expect(reason).toMatch(/^No effect was measured within .+ It was put back: .+/)
        }
        pod.send({ do: 'stop', reason: 'abort' })
        await until(30_000, () => told('reverted', 'lost', 'revert-failed') >= hit.size)
        const clean = performance.now()
        const back = each(pod, 'reverted')
        expect([...back.keys()].sort()).toEqual([...hit.keys()].sort())
        for (const { why, proof, heldMs } of back.values()) {
          expect({ why, proof }).toEqual({ why: 'stop', proof: expect.stringMatching(/.+/) })
          expect(heldMs).toBeGreaterThan(0)
        }
        expect(left(containers)).toEqual(before)
        const ms = (a: number, b: number): string => `${Math.round(b - a)} ms`
        console.log(
          `${count} targets of ${fault}: order ${bytesOf(order)} bytes, armed ${ms(from, armed)}, ${hit.size} injected ${ms(armed, injected)}, put back ${ms(injected, clean)}`,
        )
        expect(pod.files().filter((file) => file.startsWith('go-'))).toEqual([])
        pod.send({ do: 'quit' })
        expect(await exitOf(pod.program)).toBe(0)
        expect(pod.hasJournal()).toBe(false)
        expect(pod.stray).toBe('')
      } finally {
        pod.remove()
        await Promise.all(containers.map((container) => container.remove()))
      }
    },
    180_000,
  )
})
