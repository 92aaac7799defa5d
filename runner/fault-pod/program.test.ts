import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { NodeOrder } from '../../model/fault-pod.ts'
import { lastWord } from '../../model/last-word.ts'
import { readText } from './host.ts'
import { parseGuardNotes } from './journal.ts'
import { cannotPose, noUnified, PosedContainer, removeGroup } from './testing/container.ts'
import { bundleProgram, exitOf, orderFor, PosedPod, until } from './testing/pod.ts'
import { buildWrongClock, hasCompiler, WrongClock } from './testing/wrong-clock.ts'

const why = cannotPose()
let folder = ''
let program = ''

type World = { pod: PosedPod; container: PosedContainer; other: PosedContainer }

/** Every case with containers, cgroups and a disk of its own, so that the cases run side by side. */
const story = (
  name: string,
  more: Partial<NodeOrder>,
  act: (world: World) => Promise<void>,
): void => {
  it.concurrent(name, async () => {
    const [container, other] = [new PosedContainer(), new PosedContainer()]
    const pod = new PosedPod(program, orderFor([container, other], more))
    try {
      await act({ pod, container, other })
    } finally {
      pod.remove()
      await container.remove()
      await other.remove()
    }
  })
}

const gone = (container: PosedContainer, limitMs: number): Promise<boolean> =>
  until(
    limitMs,
    () => container.strangers().length === 0,
    () => `left: ${container.strangers()}`,
  )

describe.skipIf(why !== '')(
  `the fault program on real cgroups${why && ` (skipped: ${why})`}`,
  () => {
    beforeAll(async () => {
      folder = mkdtempSync(join(tmpdir(), 'fault-pod-program-'))
      program = await bundleProgram(folder)
      if (hasCompiler) buildWrongClock(join(folder, 'wrong-clock.so'))
    })
    afterAll(() => rmSync(folder, { recursive: true, force: true }))

    story(
      'burns CPU in both targets, ends at its own deadline and leaves nothing',
      {},
      async ({ pod, container, other }) => {
        pod.start()
        const injected = await pod.event('injected')
        expect(await container.load(300)).toBeGreaterThan(0.1)
        await pod.event('reverted')
        expect(Date.now()).toBeGreaterThanOrEqual(injected.endsAt - 20)
        await until(2000, () => pod.names().filter((one) => one === 'reverted').length === 2)
        expect([container.strangers(), other.strangers()]).toEqual([[], []])
        expect(await container.load(200)).toBeLessThan(0.02)
        expect(pod.names()).toEqual([
          'armed',
          'armed',
          'injected',
          'injected',
          'reverted',
          'reverted',
        ])
        expect(pod.events.map(({ seq }) => seq)).toEqual([1, 2, 3, 4, 5, 6])
        const last = pod.events.at(-1)
        expect(last).toMatchObject({
          why: 'deadline',
          proof: "no stressor is left in the container's cgroup",
        })
        expect(pod.lastWord).toBeNull()
        pod.send({ do: 'quit' })
        expect(await exitOf(pod.program)).toBe(0)
        expect(pod.lastWord).toBe(lastWord)
        expect(await exitOf(pod.guard)).toBe(0)
        expect(existsSync(pod.journal)).toBe(false)
        expect(pod.stray).toBe('')
      },
    )

    story(
      'waits for go and injects only on the targets that are named',
      { start: 'wait' },
      async ({ pod, container, other }) => {
        pod.start()
        await until(5000, () => pod.names().length === 2)
        await sleep(150)
        expect(container.strangers()).toEqual([])
        pod.send({ do: 'go', targets: ['demo/web-1/app'], holdMs: 500 })
        await pod.event('injected')
        expect(container.strangers()).toEqual([])
        expect(other.strangers().length).toBeGreaterThan(0)
        await pod.event('reverted')
        pod.send({ do: 'go', holdMs: 400 })
        await until(5000, () => pod.names().filter((one) => one === 'reverted').length === 2)
        expect(pod.events.filter(({ event }) => event === 'injected')).toMatchObject([
          { target: 'demo/web-1/app' },
          { target: 'demo/web-0/app' },
        ])
      },
    )

    story(
      'what ends between arming and go is refused as gone; the other target is hit',
      { start: 'wait' },
      async ({ pod, container, other }) => {
        pod.start()
        await until(5000, () => pod.names().length === 2)
        container.crash()
        await until(2000, () => readText(`/proc/${container.pid}/stat`) === null)
        pod.send({ do: 'go', holdMs: 300 })
        expect(await pod.event('refused')).toMatchObject({
          target: 'demo/web-0/app',
          code: 'TARGET_SELECTION_ERROR',
          gone: true,
        })
        expect(await pod.event('injected')).toMatchObject({ target: 'demo/web-1/app' })
        expect(await pod.event('reverted')).toMatchObject({ target: 'demo/web-1/app' })
        expect(container.strangers()).toEqual([])
        expect(other.strangers()).toEqual([])
      },
    )

    story(
      'stop before go says that nothing was touched',
      { start: 'wait' },
      async ({ pod, container }) => {
        pod.start()
        await until(5000, () => pod.names().length === 2)
        pod.send({ do: 'stop', reason: 'abort' })
        expect(await pod.event('reverted')).toMatchObject({ why: 'stop', untouched: true })
        expect(container.strangers()).toEqual([])
      },
    )

    const again = (containers: PosedContainer[], holdMs: number) => {
      const [target] = orderFor(containers).targets
      if (!target) throw new Error('no target')
      return { ...target, id: `${target.id}#1`, holdMs }
    }

    story(
      'what was stopped joins again for a hold of its own, once, while the others are held on',
      { start: 'wait' },
      async ({ pod, container, other }) => {
        pod.start()
        await until(5000, () => pod.names().length === 2)
        pod.send({ do: 'go', holdMs: 20_000 })
        await until(5000, () => pod.names().filter((one) => one === 'injected').length === 2)
        pod.send({ do: 'stop', targets: ['demo/web-0/app'], reason: 'pause' })
        expect(await pod.event('reverted')).toMatchObject({ why: 'stop' })
        expect(container.strangers()).toEqual([])
        const join = { do: 'join' as const, targets: [again([container, other], 700)] }
        pod.send(join)
        pod.send(join)
        await until(5000, () => container.strangers().length > 0)
        expect(await container.load(300)).toBeGreaterThan(0.1)
        const ended = await until(5000, () =>
          pod.events.find((e) => e.event === 'reverted' && e.target === 'demo/web-0/app#1'),
        )
        expect(ended).toMatchObject({ why: 'deadline' })
        expect('heldMs' in ended && Math.abs((ended.heldMs ?? 0) - 700)).toBeLessThan(500)
        expect(container.strangers()).toEqual([])
        expect(other.strangers().length).toBeGreaterThan(0)
        pod.send(join)
        await sleep(300)
        expect(container.strangers()).toEqual([])
        const injections = pod.events.filter((e) => e.event === 'injected')
        // whose effect of a common go is seen first is open
        expect(injections.map((e) => 'target' in e && e.target).sort()).toEqual([
          'demo/web-0/app',
          'demo/web-0/app#1',
          'demo/web-1/app',
        ])
      },
    )

    story(
      'a target that joins a pod without any is injected there, and one that was stopped first is not',
      { start: 'wait', targets: [] },
      async ({ pod, container, other }) => {
        pod.start()
        const target = again([container, other], 20_000)
        await until(5000, () => pod.hasJournal())
        pod.send({ do: 'stop', targets: [`${target.id}2`], reason: 'pause' })
        pod.send({ do: 'join', targets: [target, { ...target, id: `${target.id}2` }] })
        await pod.event('injected')
        expect(pod.events).toContainEqual(
          expect.objectContaining({ target: `${target.id}2`, untouched: true }),
        )
        pod.program?.kill('SIGKILL')
        await gone(container, 3000)
        pod.startProgram()
        await until(5000, () => pod.names().includes('lost'))
        pod.send({ do: 'join', targets: [target] })
        await sleep(500)
        expect(pod.names().filter((one) => one === 'injected')).toHaveLength(1)
        expect(container.strangers()).toEqual([])
      },
    )

    story('stop reverts at once', { holdMs: 20_000 }, async ({ pod, container }) => {
      pod.start()
      await pod.event('injected')
      pod.send({ do: 'stop', reason: 'abort' })
      expect(await pod.event('reverted')).toMatchObject({ why: 'stop' })
      await gone(container, 500)
    })

    story(
      'SIGTERM reverts within a second and ends the program',
      { holdMs: 20_000 },
      async ({ pod, container, other }) => {
        pod.start()
        await until(5000, () => pod.names().filter((one) => one === 'injected').length === 2)
        pod.program?.kill('SIGTERM')
        await gone(container, 1000)
        await gone(other, 1000)
        expect(await exitOf(pod.program)).toBe(0)
        expect(await exitOf(pod.guard)).toBe(0)
        expect(pod.events.at(-1)).toMatchObject({ event: 'reverted', why: 'term' })
        expect(pod.names().filter((one) => one === 'lost').length).toBe(2)
        // nobody has acknowledged the report: a closed journal stays for whoever asks
        expect(pod.files()).toContain('closed')
        expect(pod.files().filter((file) => file.startsWith('go-'))).toEqual([])
      },
    )

    story(
      'SIGKILL: the guard undoes, the next program reports and does not inject again',
      { holdMs: 20_000 },
      async ({ pod, container, other }) => {
        pod.start()
        await until(5000, () => pod.names().filter((one) => one === 'injected').length === 2)
        pod.program?.kill('SIGKILL')
        await gone(container, 1000)
        await gone(other, 1000)
        await exitOf(pod.program)
        await until(3000, () => pod.files().includes('guard.log'))
        pod.startProgram()
        await until(5000, () => pod.names().filter((one) => one === 'reverted').length === 2)
        expect(pod.events.slice(4)).toMatchObject([
          { seq: 5, event: 'lost' },
          { seq: 6, event: 'reverted', why: 'guard' },
          { seq: 7, event: 'lost' },
          { seq: 8, event: 'reverted', why: 'guard' },
        ])
        await sleep(200)
        expect(container.strangers()).toEqual([])
        // everything is told again from where the runner stopped listening
        const before = pod.lines.length
        pod.send({ do: 'hello', acknowledged: 3 })
        await until(3000, () => pod.lines.length >= before + 6)
        const { now = 0, ...hello } = pod.hellos.at(-1) ?? {}
        expect(hello).toEqual({ hello: 1, last: 8 })
        expect(Math.abs(Date.now() - now)).toBeLessThan(5000)
        expect(pod.lines.slice(before + 1).map((line) => ('seq' in line ? line.seq : 0))).toEqual([
          4, 5, 6, 7, 8,
        ])
        pod.send({ do: 'quit' })
        expect(await exitOf(pod.program)).toBe(0)
        expect(await exitOf(pod.guard)).toBe(0)
        expect(existsSync(pod.journal)).toBe(false)
      },
    )

    story(
      'a stopped program closes nothing: the guard undoes after its deadline',
      { holdMs: 700 },
      async ({ pod, container }) => {
        pod.start()
        const { endsAt } = await pod.event('injected')
        pod.program?.kill('SIGSTOP')
        await gone(container, 6000)
        const notes = () => readText(join(pod.journal, 'guard.log')) ?? ''
        await until(3000, () => notes() !== '')
        const [note] = parseGuardNotes(notes())
        expect(note).toMatchObject({ why: 'deadline' })
        expect(note?.at).toBeGreaterThan(endsAt)
        const [begun] = parseGuardNotes(readText(join(pod.journal, 'guard-begun.log')) ?? '')
        expect(begun).toMatchObject({ file: note?.file, why: 'deadline' })
        expect(begun?.at).toBeLessThan(note?.at ?? 0)
        pod.program?.kill('SIGCONT')
        expect(await pod.event('reverted')).toMatchObject({ why: 'guard' })
        expect(pod.names()).not.toContain('lost')
      },
    )

    story(
      'a wall clock that stands an hour back does not delay the guard',
      { holdMs: 700 },
      async ({ pod, container }) => {
        const back = join(pod.disk, 'an-hour-back')
        mkdirSync(back)
        const date = '#!/bin/sh\nexec /bin/date -d "1 hour ago" "$@"\n'
        writeFileSync(join(back, 'date'), date, { mode: 0o755 })
        pod.startGuard(back)
        pod.startProgram()
        const { endsAt } = await pod.event('injected')
        pod.program?.kill('SIGSTOP')
        await gone(container, 6000)
        const notes = () => readText(join(pod.journal, 'guard.log')) ?? ''
        await until(3000, () => notes() !== '')
        const [note] = parseGuardNotes(notes())
        expect(note).toMatchObject({ why: 'deadline' })
        expect(note?.at).toBeLessThan(endsAt - 3_000_000)
      },
    )

    const jumps = [
      ['back', -3600],
      ['forward', 3600],
    ] as const
    for (const [name, seconds] of hasCompiler ? jumps : [])
      story(
        `a wall clock that jumps an hour ${name} in mid-hold does not move its end`,
        { holdMs: 1500 },
        async ({ pod, container, other }) => {
          const clock = new WrongClock(join(folder, 'wrong-clock.so'), join(pod.disk, 'clock'))
          pod.startGuard()
          pod.startProgram(clock.env)
          await pod.event('injected')
          const from = performance.now()
          clock.jump(seconds)
          await until(9000, () => pod.names().filter((one) => one === 'reverted').length === 2)
          const heldMs = performance.now() - from
          expect(heldMs).toBeGreaterThan(800)
          expect(heldMs).toBeLessThan(3000)
          // it did read the clock that had jumped
          expect(clock.reads).toBeGreaterThan(0)
          for (const event of pod.events.filter((one) => one.event === 'reverted')) {
            expect(event).toMatchObject({ why: 'deadline' })
            expect(Math.abs(event.heldMs ?? 0)).toBeLessThan(3000)
          }
          expect([container.strangers(), other.strangers()]).toEqual([[], []])
        },
      )

    story(
      'program and guard killed together: the stressor ends by its own limit',
      { holdMs: 800 },
      async ({ pod, container, other }) => {
        pod.start()
        await until(5000, () => pod.names().filter((one) => one === 'injected').length === 2)
        pod.guard?.kill('SIGKILL')
        pod.program?.kill('SIGKILL')
        await sleep(300)
        expect(container.strangers().length).toBeGreaterThan(0)
        await gone(container, 4000)
        await gone(other, 4000)
      },
    )

    story(
      'program and guard killed together: the next program sweeps first',
      { holdMs: 20_000 },
      async ({ pod, container, other }) => {
        pod.start()
        await until(5000, () => pod.names().filter((one) => one === 'injected').length === 2)
        pod.guard?.kill('SIGKILL')
        pod.program?.kill('SIGKILL')
        await exitOf(pod.program)
        expect(container.strangers().length).toBeGreaterThan(0)
        pod.startProgram()
        await until(5000, () => pod.names().filter((one) => one === 'reverted').length === 2)
        expect([container.strangers(), other.strangers()]).toEqual([[], []])
      },
    )

    story(
      'a target that ends is lost, and nothing stays in its cgroup',
      { holdMs: 20_000 },
      async ({ pod, container, other }) => {
        pod.start()
        await until(5000, () => pod.names().filter((one) => one === 'injected').length === 2)
        container.crash()
        expect(await pod.event('lost')).toMatchObject({
          target: 'demo/web-0/app',
          reason: 'the target container has ended or restarted',
        })
        await gone(container, 1000)
        expect(other.strangers().length).toBeGreaterThan(0)
      },
    )

    story(
      'a killed stressor is lost, not re-injected',
      { holdMs: 20_000 },
      async ({ pod, container }) => {
        pod.start()
        await until(5000, () => pod.names().filter((one) => one === 'injected').length === 2)
        for (const pid of container.strangers()) process.kill(pid, 'SIGKILL')
        expect(await pod.event('lost')).toMatchObject({ target: 'demo/web-0/app' })
        expect(await pod.event('reverted')).toMatchObject({ why: 'lost' })
        await sleep(200)
        expect(container.strangers()).toEqual([])
      },
    )

    story(
      'a container that is not there is refused by name, the other is hit',
      {},
      async ({ pod, container, other }) => {
        container.crash()
        await sleep(50)
        pod.start()
        expect(await pod.event('refused')).toMatchObject({
          target: 'demo/web-0/app',
          code: 'TARGET_SELECTION_ERROR',
        })
        expect(await pod.event('injected')).toMatchObject({ target: 'demo/web-1/app' })
        expect(other.strangers().length).toBeGreaterThan(0)
      },
    )

    story('without a guard nothing is armed', { start: 'wait' }, async ({ pod, container }) => {
      pod.startProgram()
      expect(await pod.event('refused')).toMatchObject({ code: 'HELPER_ERROR' })
      expect(container.strangers()).toEqual([])
    })

    story(
      'what started at once is put back when its guard does not come',
      { holdMs: 20_000 },
      async ({ pod, container }) => {
        pod.startProgram()
        await pod.event('injected')
        expect(await pod.event('lost')).toMatchObject({ reason: expect.stringContaining('guard') })
        await gone(container, 1000)
        expect(await pod.event('reverted')).toMatchObject({ why: 'lost' })
      },
    )

    story(
      'a guard that comes after the program has died undoes',
      { holdMs: 20_000 },
      async ({ pod, container, other }) => {
        pod.startProgram()
        await until(5000, () => pod.names().filter((one) => one === 'injected').length === 2)
        pod.program?.kill('SIGKILL')
        await exitOf(pod.program)
        expect(container.strangers().length).toBeGreaterThan(0)
        pod.startGuard()
        await gone(container, 3000)
        await gone(other, 3000)
      },
    )

    story(
      'a guard that comes late leaves a live program alone',
      { holdMs: 20_000 },
      async ({ pod, container }) => {
        pod.startProgram()
        await until(5000, () => pod.names().filter((one) => one === 'injected').length === 2)
        pod.program?.kill('SIGSTOP')
        pod.startGuard()
        await sleep(1700)
        expect(container.strangers().length).toBeGreaterThan(0)
        pod.program?.kill('SIGCONT')
        await sleep(300)
        expect(container.strangers().length).toBeGreaterThan(0)
        expect(pod.names()).not.toContain('lost')
      },
    )

    story(
      'a program that was stopped before its guard came is undone at its deadline',
      { holdMs: 1200 },
      async ({ pod, container }) => {
        pod.startProgram()
        const { endsAt } = await pod.event('injected')
        pod.program?.kill('SIGSTOP')
        pod.startGuard()
        const notes = () => parseGuardNotes(readText(join(pod.journal, 'guard.log')) ?? '')
        await until(8000, () => notes().length > 0)
        expect(notes()[0]).toMatchObject({ why: 'deadline' })
        expect(notes()[0]?.at).toBeGreaterThan(endsAt)
        await gone(container, 1000)
      },
    )

    const unified = noUnified()
    it.skipIf(unified !== '').concurrent(
      `cgroup version 2, out of a cgroup namespace of its own${unified && ` (skipped: ${unified})`}`,
      async () => {
        const container = new PosedContainer(2)
        const own = `/sys/fs/cgroup/unified/chaosplane-test-${container.podUid}`
        mkdirSync(own)
        const pod = new PosedPod(program, orderFor([container], { holdMs: 1000 }))
        try {
          pod.startGuard()
          pod.startProgramIn(own)
          await pod.event('injected')
          expect(await container.load(300)).toBeGreaterThan(0.1)
          expect(await pod.event('reverted')).toMatchObject({ why: 'deadline' })
          expect(container.strangers()).toEqual([])
          pod.send({ do: 'quit' })
          expect(await exitOf(pod.program)).toBe(0)
        } finally {
          pod.remove()
          await container.remove()
          await removeGroup(own)
        }
      },
    )

    story('a closed stdin is not an abort', { holdMs: 900 }, async ({ pod, container }) => {
      pod.start()
      await pod.event('injected')
      pod.program?.stdin?.end()
      expect(container.strangers().length).toBeGreaterThan(0)
      expect(await pod.event('reverted')).toMatchObject({ why: 'deadline' })
    })
  },
)
