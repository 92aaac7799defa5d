import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import type { NodeEvent } from '../../model/fault-pod.ts'
import { podCpuHogNode } from '../faults/pod-cpu-hog/node.ts'
import { Channel } from './channel.ts'
import { Hands } from './hands.ts'
import type { AnyNodeFault } from './hold.ts'
import { bootId, bootMs } from './host.ts'
import { Journal, undoScript } from './journal.ts'
import { pastOf, sweepOwn } from './recover.ts'

const target = 'demo/web/app'
let dir: string
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'recover-'))
})
afterEach(() => rmSync(dir, { recursive: true, force: true }))

type Left = { noted?: string; begun?: string; boot?: string }

/** What is told by the first program after a boot, when the one before had injected at `at`. */
const sweptAfterBoot = (at: number, noted = ''): Promise<NodeEvent[]> =>
  swept(at, { noted, boot: 'an earlier boot' })

/** What is told by the program that comes after one that had injected at `at`, whose target is clean by now. */
async function swept(at: number, { noted = '', begun = '', boot = bootId() }: Left) {
  const injected = { seq: 1, at, event: 'injected', target, evidence: '', endsAt: at + 3_600_000 }
  writeFileSync(join(dir, 'events.jsonl'), `${JSON.stringify(injected)}\n`)
  writeFileSync(join(dir, 'guard.log'), noted)
  writeFileSync(join(dir, 'guard-begun.log'), begun)
  const found = {
    ...{ id: target, containerId: 'c', pid: 1, startTicks: 0, mark: 'run/task/0' },
    ...{ bootId: boot, cgroups: [], enter: [] },
  }
  const planned = [{ found, plan: { target: found, workers: 1, loadPercent: 100, timeoutS: 1 } }]
  const journal = new Journal(dir)
  journal.open('go-1.sh', undoScript({ fault: 'pod-cpu-hog', guardAt: 0, planned }, 'x', []))
  const told: NodeEvent[] = []
  const print = (line: unknown) => void told.push(line as NodeEvent)
  const hasLost = journal.hasCrashed(bootId())
  const channel = new Channel(journal, { print, now: Date.now, after: 0, hasLost })
  const hands = new Hands('', process.env, [process.pid])
  const faultOf = () => podCpuHogNode as unknown as AnyNodeFault
  const clock = { now: Date.now, monotonic: () => performance.now() }
  const past = pastOf(journal.earlier, journal.openGos())
  await sweepOwn({ journal, channel, hands, faultOf, ...clock }, past)
  return told
}

it.each<[string, () => string]>([
  ['nobody has put it back', () => ''],
  [
    'a guard has found nothing to put back after the boot',
    () => `go-1.sh absent ${Date.now() / 1000}\n`,
  ],
])(
  'a boot in mid-hold ends the hold at the boot and not when it is swept: %s',
  async (_, noted) => {
    const bootedAt = Date.now() - bootMs()
    const told = await sweptAfterBoot(bootedAt - 60_000, noted())
    expect(told).toMatchObject([
      { event: 'lost', target, reason: expect.stringContaining('the node went down') },
      { event: 'reverted', target, gone: true, proof: expect.stringContaining('has booted since') },
    ])
    for (const event of told) {
      const { heldMs = 0 } = event as { heldMs?: number }
      expect(Math.abs(heldMs - 60_000)).toBeLessThan(2000)
    }
    expect(readdirSync(dir)).not.toContain('go-1.sh')
  },
)

it('what a guard has put back before the boot ended then', async () => {
  const at = Date.now() - bootMs() - 60_000
  const told = await sweptAfterBoot(at, `go-1.sh eof ${(at + 20_000) / 1000}\n`)
  expect(told[0]).toMatchObject({ event: 'lost', reason: expect.stringContaining('the guard') })
  const { heldMs } = told[0] as { heldMs: number }
  expect(Math.abs(heldMs - 20_000)).toBeLessThan(100)
})

it('what a guard had put back that was killed before its note ended when it began', async () => {
  const at = Date.now() - 30_000
  const told = await swept(at, { begun: `go-1.sh eof ${(at + 20_000) / 1000}\n` })
  expect(told[0]).toMatchObject({ event: 'lost', reason: expect.stringContaining('the guard') })
  expect(told.map((event) => (event as { heldMs: number }).heldMs)).toEqual([20_000, 20_000])
})

it('events after a boot have numbers that none had which came to the runner and never to the disk', async () => {
  const told = await sweptAfterBoot(Date.now() - 1000)
  expect(told.map(({ seq }) => seq)).toEqual([10_002, 10_003])
})
