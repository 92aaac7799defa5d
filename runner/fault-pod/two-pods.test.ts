import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { NodeOrder } from '../../model/fault-pod.ts'
import { readText } from './host.ts'
import { parseEvents } from './journal.ts'
import { cannotPose, PosedContainer } from './testing/container.ts'
import { withDisk } from './testing/disk.ts'
import { bundleProgram, exitOf, orderFor, PosedPod, until } from './testing/pod.ts'

const why = cannotPose()
let folder = ''
let program = ''

type World = {
  first: PosedPod
  /** another pod on the same journal */
  next(attempt: number, more?: Partial<NodeOrder>): PosedPod
  container: PosedContainer
  other: PosedContainer
}

const story = (
  name: string,
  more: Partial<NodeOrder>,
  act: (world: World) => Promise<void>,
): void => {
  it.concurrent(name, { timeout: 60_000 }, async () => {
    const containers = [new PosedContainer(), new PosedContainer()] as const
    const [container, other] = containers
    const first = new PosedPod(program, orderFor([...containers], more))
    const pods = [first]
    const next = (attempt: number, change: Partial<NodeOrder> = {}): PosedPod => {
      const order = orderFor([...containers], { start: 'wait', attempt, ...change })
      const pod = new PosedPod(program, order, first.disk)
      pods.push(pod)
      return pod
    }
    try {
      await act({ first, next, container, other })
    } finally {
      for (const pod of pods.reverse()) pod.remove()
      await container.remove()
      await other.remove()
    }
  })
}

const both = (pod: PosedPod, name: string, limitMs = 8000): Promise<true> =>
  until(
    limitMs,
    () => pod.names().filter((one) => one === name).length === 2,
    () => `not twice ${name}: ${JSON.stringify(pod.lines)} ${pod.stray}`,
  )
const journalled = (pod: PosedPod) => parseEvents(readText(join(pod.journal, 'events.jsonl')) ?? '')
const numbers = (pod: PosedPod): number[] => journalled(pod).map(({ seq }) => seq)
const upTo = (length: number): number[] => Array.from({ length }, (_, i) => i + 1)
const nothing: Partial<NodeOrder> = { start: 'sweep', fault: '', params: {}, holdMs: 0 }

describe.skipIf(why !== '')(`two pods on one journal${why && ` (skipped: ${why})`}`, () => {
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'two-pods-'))
    program = await bundleProgram(folder)
  })
  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  story(
    'a recovery pod that knows nothing but the journal puts back what program and guard left',
    { holdMs: 20_000 },
    async ({ first, next, container, other }) => {
      first.start()
      await both(first, 'injected')
      first.guard?.kill('SIGKILL')
      first.program?.kill('SIGKILL')
      await exitOf(first.program)
      const recovery = next(2, { ...nothing, targets: [] })
      recovery.start()
      await both(recovery, 'reverted')
      expect([container.strangers(), other.strangers()]).toEqual([[], []])
      expect(recovery.names().sort()).toEqual(['lost', 'lost', 'reverted', 'reverted'])
      expect(numbers(first)).toEqual(upTo(8))
      recovery.send({ do: 'quit' })
      expect(await exitOf(recovery.program)).toBe(0)
      expect(await exitOf(recovery.guard)).toBe(0)
      expect(existsSync(first.journal)).toBe(false)
    },
  )

  story(
    'two recovery pods and the restart in place at once: one sweeps, the last one gets the journal',
    { holdMs: 20_000 },
    async ({ first, next, container }) => {
      first.start()
      await both(first, 'injected')
      first.guard?.kill('SIGKILL')
      first.program?.kill('SIGKILL')
      await exitOf(first.program)
      const [second, third] = [next(2, nothing), next(3, nothing)]
      second.start()
      third.start()
      first.startGuard()
      first.startProgram()
      expect(await exitOf(first.program, 20_000)).toBe(0)
      expect(await exitOf(second.program, 20_000)).toBe(0)
      expect(await exitOf(first.guard, 20_000)).toBe(0)
      expect(await exitOf(second.guard, 20_000)).toBe(0)
      third.send({ do: 'hello', acknowledged: 0 })
      await until(8000, () => third.names().filter((one) => one === 'reverted').length === 2)
      expect(container.strangers()).toEqual([])
      expect(numbers(first)).toEqual(upTo(8))
      third.send({ do: 'hello', acknowledged: 8 })
      await until(8000, () => third.hellos.at(-1)?.last === 8)
    },
  )

  story(
    'what another pod holds is left alone by the old pod: by its restart, its guard and its end',
    { start: 'wait' },
    async ({ first, next, container, other }) => {
      first.start()
      await both(first, 'armed')
      first.program?.kill('SIGKILL')
      await exitOf(first.program)
      const second = next(2)
      second.start()
      await both(second, 'armed')
      second.send({ do: 'go', holdMs: 20_000 })
      await both(second, 'injected')
      first.startProgram()
      expect(await exitOf(first.program)).toBe(0)
      expect(first.names()).toEqual(['armed', 'armed'])
      // the pod is deleted with a guard that was started anew and found something open
      first.startGuard()
      const guard = first.guard
      await sleep(1500)
      guard?.kill('SIGTERM')
      expect(await exitOf(guard)).toBe(0)
      expect(container.strangers().length).toBeGreaterThan(0)
      expect(other.strangers().length).toBeGreaterThan(0)
      expect(second.names()).not.toContain('lost')
      second.send({ do: 'stop', reason: 'abort' })
      await both(second, 'reverted')
      expect(numbers(first)).toEqual(upTo(8))
    },
  )

  story(
    'a program that lives gives the journal to a later pod, put back, and says why',
    { holdMs: 20_000, start: 'wait' },
    async ({ first, next, container, other }) => {
      first.start()
      await both(first, 'armed')
      first.send({ do: 'go', targets: ['demo/web-0/app'], holdMs: 20_000 })
      await first.event('injected')
      const second = next(2)
      second.start()
      expect(await first.event('lost')).toMatchObject({
        reason: 'fault pod 2 of this node looks after it now',
      })
      expect(await exitOf(first.program)).toBe(0)
      expect(await exitOf(first.guard)).toBe(0)
      // only what is still to be done is armed again
      expect(await second.event('armed')).toMatchObject({ target: 'demo/web-1/app' })
      expect(container.strangers()).toEqual([])
      second.send({ do: 'go', holdMs: 20_000 })
      expect(await second.event('injected')).toMatchObject({ target: 'demo/web-1/app' })
      expect(other.strangers().length).toBeGreaterThan(0)
      expect(numbers(first)).toEqual(upTo(7))
    },
  )

  story(
    'a pod that waits for a journal takes it when its holder is killed',
    { holdMs: 20_000 },
    async ({ first, next, container }) => {
      first.start()
      await both(first, 'injected')
      first.program?.kill('SIGSTOP')
      const second = next(2, nothing)
      second.start()
      await until(5000, () => first.files().includes('wanted'))
      await sleep(300)
      expect(second.lines).toEqual([])
      first.guard?.kill('SIGKILL')
      first.program?.kill('SIGKILL')
      await both(second, 'reverted')
      expect(container.strangers()).toEqual([])
    },
  )

  story(
    'what was reported before and is in no journal any more is said to be put back, above the old numbers',
    {},
    async ({ next, container }) => {
      const touched = orderFor([container]).targets.map((one) => ({
        ...one,
        touched: true as const,
      }))
      const pod = next(2, { targets: touched, after: 40 })
      pod.start()
      const told = await pod.event('reverted')
      expect(told).toMatchObject({ seq: 41, target: 'demo/web-0/app', why: 'guard' })
      expect(told).not.toHaveProperty('heldMs')
      pod.send({ do: 'go', targets: ['demo/web-0/app'], holdMs: 5000 })
      await sleep(300)
      expect(container.strangers()).toEqual([])
      expect(pod.names()).toEqual(['reverted'])
    },
  )

  story('who only sweeps refuses to inject', {}, async ({ next, container }) => {
    const pod = next(2, { ...nothing, targets: [] })
    pod.start()
    pod.send({ do: 'go', targets: ['demo/web-0/app'], holdMs: 5000 })
    expect(await pod.event('inject-failed')).toMatchObject({
      target: 'demo/web-0/app',
      code: 'HELPER_ERROR',
    })
    expect(container.strangers()).toEqual([])
  })

  describe('a disk that is full', () => {
    it('before anything is done: refused by the name of the folder', async () => {
      const container = new PosedContainer()
      await withDisk(async (disk, fill) => {
        fill()
        const pod = new PosedPod(program, orderFor([container]), disk)
        pod.startProgram()
        const told = await pod.event('refused')
        expect(told).toMatchObject({ code: 'HELPER_ERROR', target: 'demo/web-0/app' })
        expect(told.reason).toContain(pod.journal)
        expect(told.reason).toContain('make room')
        expect(container.strangers()).toEqual([])
        pod.remove()
      })
      await container.remove()
    })

    it('while armed: not injected, and the reason names the folder', async () => {
      const container = new PosedContainer()
      await withDisk(async (disk, fill) => {
        const pod = new PosedPod(program, orderFor([container], { start: 'wait' }), disk)
        pod.start()
        await pod.event('armed')
        fill()
        pod.send({ do: 'go', holdMs: 5000 })
        const told = await pod.event('inject-failed')
        expect(told).toMatchObject({ code: 'HELPER_ERROR' })
        expect(told.reason).toContain(pod.journal)
        expect(container.strangers()).toEqual([])
        expect(pod.files().filter((file) => file.startsWith('go-'))).toEqual([])
        pod.remove()
      })
      await container.remove()
    })

    it('in mid-hold: program and guard killed, the next program finds room, puts back and reports', async () => {
      const container = new PosedContainer()
      await withDisk(async (disk, fill) => {
        const pod = new PosedPod(program, orderFor([container], { holdMs: 20_000 }), disk)
        pod.start()
        await pod.event('injected')
        fill()
        pod.guard?.kill('SIGKILL')
        pod.program?.kill('SIGKILL')
        await exitOf(pod.program)
        const next = new PosedPod(program, orderFor([container], { ...nothing, attempt: 2 }), disk)
        next.start()
        expect(await next.event('reverted')).toMatchObject({ why: 'guard' })
        expect(container.strangers()).toEqual([])
        expect(numbers(pod)).toEqual(upTo(4))
        pod.remove()
        next.remove()
      })
      await container.remove()
    })
  })
})
