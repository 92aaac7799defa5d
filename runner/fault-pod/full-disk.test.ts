import { appendFileSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { NodeOrder } from '../../model/fault-pod.ts'
import { Journal } from './journal.ts'
import { cannotPose, PosedContainer } from './testing/container.ts'
import { readOnly, withDisk } from './testing/disk.ts'
import { bundleProgram, exitOf, orderFor, PosedPod, until } from './testing/pod.ts'

const why = cannotPose()
let folder = ''
let program = ''

/** Two targets; `disk`: its room is what matters. `full`: nothing has room any more, not even the report. */
type World = {
  pod: PosedPod
  containers: [PosedContainer, PosedContainer]
  fill(): void
  full(): void
  free(): void
}

const pageBytes = 4096

const story = (
  name: string,
  { warmMs, ...more }: Partial<NodeOrder> & { warmMs?: number },
  act: (world: World) => Promise<void>,
): void => {
  it(name, { timeout: 30_000 }, async () => {
    const containers: World['containers'] = [new PosedContainer(), new PosedContainer()]
    await withDisk(async (disk, fill, free) => {
      const pod = new PosedPod(program, orderFor(containers, more), disk, warmMs)
      const full = () => {
        rmSync(join(pod.journal, 'reserve'), { force: true })
        // A disk gives room by pages: the one that the last event is in still has some.
        const events = join(pod.journal, 'events.jsonl')
        appendFileSync(events, '\n'.repeat(pageBytes - (statSync(events).size % pageBytes)))
        fill()
      }
      try {
        await act({ pod, containers, fill, full, free })
      } finally {
        pod.remove()
        await Promise.all(containers.map((one) => one.remove()))
      }
    })
  })
}

const told = (pod: PosedPod, name: string) => pod.events.filter(({ event }) => event === name)

async function bothHeld(pod: PosedPod): Promise<void> {
  pod.start()
  await until(5000, () => told(pod, 'injected').length === 2)
}

async function killed(pod: PosedPod): Promise<void> {
  pod.killGuard()
  pod.program?.kill('SIGKILL')
  await exitOf(pod.program)
}

describe.skipIf(why !== '')(`on a disk that is full${why && ` (skipped: ${why})`}`, () => {
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'fault-pod-full-'))
    program = await bundleProgram(folder)
  })
  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  story(
    'what was told and had no room has a number that the next program in place does not use again',
    { holdMs: 20_000 },
    async ({ pod, full, free }) => {
      await bothHeld(pod)
      full()
      const before = readFileSync(join(pod.journal, 'events.jsonl'), 'utf8')
      pod.send({ do: 'stop', targets: ['demo/web-1/app'], reason: 'pause' })
      const { seq } = await pod.event('reverted')
      expect(readFileSync(join(pod.journal, 'events.jsonl'), 'utf8')).toBe(before)
      await killed(pod)
      free()
      const from = pod.events.length
      pod.startProgram()
      pod.send({ do: 'hello', acknowledged: seq })
      await until(5000, () =>
        pod.events.slice(from).some((e) => e.event === 'reverted' && e.target === 'demo/web-0/app'),
      )
      for (const event of pod.events.slice(from)) expect(event.seq).toBeGreaterThan(seq)
    },
  )

  story(
    'what the runner has stored ends no hold, and a program that ends leaves in order',
    { holdMs: 20_000 },
    async ({ pod, containers: [first], fill }) => {
      await bothHeld(pod)
      fill()
      pod.send({ do: 'ack', seq: 4 })
      await sleep(500)
      expect(pod.program?.exitCode).toBeNull()
      expect(first.strangers().length).toBeGreaterThan(0)
      pod.send({ do: 'stop', reason: 'abort' })
      await until(5000, () => told(pod, 'reverted').length === 2)
      for (const event of told(pod, 'reverted')) expect(event).toMatchObject({ why: 'stop' })
      // with the last undo file its room has gone
      await until(5000, () => !pod.files().includes('reserve'))
      fill()
      pod.program?.kill('SIGTERM')
      expect(await exitOf(pod.program)).toBe(0)
      expect(pod.stray).toBe('')
    },
  )

  story(
    'a program that is started again in place owes what the one before it has injected, and refuses the rest',
    { holdMs: 20_000, start: 'wait' },
    async ({ pod, containers: [first], full, free }) => {
      pod.start()
      await until(5000, () => told(pod, 'armed').length === 2)
      pod.send({ do: 'go', targets: ['demo/web-0/app'], holdMs: 20_000 })
      const { seq } = await pod.event('injected')
      full()
      await killed(pod)
      expect(first.strangers().length).toBeGreaterThan(0)
      pod.startProgram()
      pod.send({ do: 'hello', acknowledged: seq })
      const owed = await pod.event('revert-failed')
      expect(owed).toMatchObject({ target: 'demo/web-0/app' })
      expect(owed.remaining).toEqual([`sh ${pod.journal}/undo.sh`])
      expect(owed.reason).toContain('make room')
      const refused = await pod.event('refused')
      expect(refused).toMatchObject({ target: 'demo/web-1/app' })
      expect(refused.reason).toContain('Nothing was injected')
      expect(Math.min(owed.seq, refused.seq)).toBeGreaterThan(seq)
      expect(await exitOf(pod.program, 8000)).toBe(1)
      expect(pod.lastWord).toBeNull()
      free()
      const from = pod.events.length
      pod.startProgram()
      const reverted = await pod.event('reverted')
      expect(reverted).toMatchObject({ target: 'demo/web-0/app', why: 'guard' })
      for (const event of pod.events.slice(from))
        expect(event.seq).toBeGreaterThan(Math.max(owed.seq, refused.seq))
      expect(first.strangers()).toEqual([])
    },
  )

  story(
    'a warm pod that owes something is not done, whatever it is told',
    { holdMs: 20_000, warmMs: 0 },
    async ({ pod, containers: [first], full, free }) => {
      pod.start()
      pod.sendOrder()
      await until(5000, () => told(pod, 'injected').length === 2)
      full()
      await killed(pod)
      pod.startProgram()
      await until(5000, () => told(pod, 'revert-failed').length === 2)
      pod.send({ do: 'quit' })
      await exitOf(pod.program, 8000)
      expect(pod.lastWord).toBeNull()
      expect(pod.remembered()).not.toContain('chaosplane-ended')
      free()
      pod.startProgram()
      await until(5000, () => told(pod, 'reverted').length === 2)
      expect(first.strangers()).toEqual([])
    },
  )

  it('that has become read-only, a journal throws nothing at whoever holds', () => {
    const dir = join(folder, 'journal')
    const journal = new Journal(dir)
    journal.open('go-7.sh', '')
    const writable = readOnly(dir)
    try {
      journal.acknowledge(1)
      journal.close()
      journal.done('go-7.sh')
      expect(journal.acknowledged).toBe(0)
    } finally {
      writable()
    }
  })
})
