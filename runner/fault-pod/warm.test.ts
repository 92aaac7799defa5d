import { existsSync, mkdtempSync, readdirSync, readlinkSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { NodeOrder } from '../../model/fault-pod.ts'
import { cannotPose, PosedContainer } from './testing/container.ts'
import { bundleProgram, exitOf, orderFor, PosedPod, until } from './testing/pod.ts'

const why = cannotPose()
let folder = ''
let program = ''

type World = { pod: PosedPod; container: PosedContainer }

const story = (
  name: string,
  { warmMs = 20_000, ...more }: Partial<NodeOrder> & { warmMs?: number },
  act: (world: World) => Promise<void>,
): void => {
  it.concurrent(name, async () => {
    const container = new PosedContainer()
    const pod = new PosedPod(program, orderFor([container], more), undefined, warmMs)
    try {
      await act({ pod, container })
    } finally {
      pod.remove()
      await container.remove()
    }
  })
}

const kill = (pod: PosedPod): void => {
  pod.killGuard()
  pod.program?.kill('SIGKILL')
}
const burns = (container: PosedContainer) => until(5000, () => container.strangers().length > 0)
const clean = (container: PosedContainer, limitMs = 5000) =>
  until(limitMs, () => container.strangers().length === 0)
const pipesAndDevices = /^(pipe|socket|anon_inode|\/dev\/(null|shm|urandom))/
/** Files of the program's process that are no pipe, socket or device. */
const openFiles = (pid = 0): string[] =>
  readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
    try {
      const to = readlinkSync(`/proc/${pid}/fd/${fd}`)
      return pipesAndDevices.test(to) ? [] : [to]
    } catch {
      return []
    }
  })

describe.skipIf(why !== '')(`a warm fault pod${why && ` (skipped: ${why})`}`, () => {
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'fault-pod-warm-'))
    program = await bundleProgram(folder)
  })
  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  story('does nothing and keeps nothing while nobody claims it', {}, async ({ pod }) => {
    pod.start()
    await until(5000, () => pod.remembered().includes('chaosplane-bell'))
    await sleep(500)
    pod.send({ do: 'hello', acknowledged: 0 }, { do: 'go', holdMs: 1000 }, { do: 'quit' })
    await sleep(300)
    expect(pod.lines).toEqual([])
    expect(readdirSync(pod.disk)).toEqual([])
    expect(pod.remembered()).toEqual(['chaosplane-bell'])
    expect(openFiles(pod.program?.pid)).toEqual([])
    expect(pod.program?.exitCode).toBeNull()
  })

  story('ends by itself, with its guard, when nobody comes', { warmMs: 300 }, async ({ pod }) => {
    pod.start()
    expect(await exitOf(pod.program)).toBe(0)
    expect(await exitOf(pod.guard)).toBe(0)
    expect(readdirSync(pod.disk)).toEqual([])
  })

  story('ends with its guard on TERM', {}, async ({ pod }) => {
    pod.start()
    await until(5000, () => pod.remembered().includes('chaosplane-bell'))
    pod.program?.kill('SIGTERM')
    pod.guard?.kill('SIGTERM')
    await exitOf(pod.program, 1000)
    expect(await exitOf(pod.guard, 1000)).toBe(0)
    expect(readdirSync(pod.disk)).toEqual([])
  })

  story('carries out its order, once, and leaves nothing', {}, async ({ pod, container }) => {
    pod.start()
    pod.sendOrder()
    await pod.event('injected')
    // told again, as on every stream: not heard
    pod.sendOrder({ holdMs: 60_000, run: 'another' })
    expect(await container.load(300)).toBeGreaterThan(0.1)
    expect(await pod.event('reverted')).toMatchObject({ why: 'deadline' })
    expect(container.strangers()).toEqual([])
    pod.send({ do: 'ack', seq: 9 }, { do: 'quit' })
    expect(await exitOf(pod.program)).toBe(0)
    expect(await exitOf(pod.guard)).toBe(0)
    const injections = pod.events.filter(({ event }) => event === 'injected')
    expect(new Set(injections.map(({ seq }) => seq)).size).toBe(1)
    expect(existsSync(pod.journal)).toBe(false)
  })

  story('waits for go when the order says so', { start: 'wait' }, async ({ pod, container }) => {
    pod.start()
    pod.sendOrder()
    await pod.event('armed')
    expect(container.strangers()).toEqual([])
    pod.send({ do: 'go', holdMs: 500 })
    await pod.event('reverted')
    expect(container.strangers()).toEqual([])
  })

  story('program killed: its guard undoes', { holdMs: 20_000 }, async ({ pod, container }) => {
    pod.start()
    pod.sendOrder()
    await pod.event('injected')
    await until(3000, () => pod.files().some((file) => file.startsWith('guard-')))
    await sleep(100)
    pod.program?.kill('SIGKILL')
    const from = performance.now()
    await clean(container)
    expect(performance.now() - from).toBeLessThan(2000)
  })

  story(
    'both killed: started again without a word, they put back, report and inject nothing',
    { holdMs: 20_000 },
    async ({ pod, container }) => {
      pod.start()
      pod.sendOrder()
      await pod.event('injected')
      kill(pod)
      await exitOf(pod.program)
      expect(container.strangers().length).toBeGreaterThan(0)
      pod.start()
      await clean(container)
      expect(await pod.event('reverted')).toMatchObject({ why: 'guard' })
      // the stream comes back, and with it the order
      pod.sendOrder()
      await sleep(500)
      expect(container.strangers()).toEqual([])
      pod.send({ do: 'ack', seq: 99 }, { do: 'quit' })
      expect(await exitOf(pod.program)).toBe(0)
      expect(await exitOf(pod.guard)).toBe(0)
      expect(existsSync(pod.journal)).toBe(false)
    },
  )

  story('killed before it has an order, it waits for one again', {}, async ({ pod, container }) => {
    pod.start()
    await sleep(300)
    kill(pod)
    await exitOf(pod.program)
    pod.start()
    pod.sendOrder()
    await burns(container)
    await pod.event('reverted')
  })

  story('SIGTERM in mid-hold puts back within a second', { holdMs: 20_000 }, async (world) => {
    const { pod, container } = world
    pod.start()
    pod.sendOrder()
    await pod.event('injected')
    pod.program?.kill('SIGTERM')
    const from = performance.now()
    await clean(container)
    expect(performance.now() - from).toBeLessThan(1000)
    expect(await pod.event('lost')).toMatchObject({ target: 'demo/web-0/app' })
  })

  story('started again after its work is done, both do nothing', {}, async ({ pod, container }) => {
    pod.start()
    pod.sendOrder()
    await pod.event('reverted')
    pod.send({ do: 'ack', seq: 99 }, { do: 'quit' })
    expect(await exitOf(pod.program)).toBe(0)
    expect(await exitOf(pod.guard)).toBe(0)
    const told = pod.events.length
    pod.start()
    await until(5000, () => {
      pod.sendOrder()
      return pod.hellos.length > 1
    })
    pod.send({ do: 'quit' })
    await until(3000, () => pod.lines.filter((line) => 'bye' in line).length > 1)
    await sleep(300)
    expect(pod.events).toHaveLength(told)
    expect(container.strangers()).toEqual([])
    expect(existsSync(pod.journal)).toBe(false)
    pod.program?.kill('SIGTERM')
    pod.guard?.kill('SIGTERM')
    expect(await exitOf(pod.program)).toBe(0)
    expect(await exitOf(pod.guard)).toBe(0)
  })
})
