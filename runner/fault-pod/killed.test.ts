import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { crashPoints } from '../../lib/crash.ts'
import { type Case, casesOf, type Fault, leftOut } from './testing/cases.ts'
import type { PosedContainer } from './testing/container.ts'
import { Driver } from './testing/driver.ts'
import { bundleProgram, orderFor, PosedPod, until } from './testing/pod.ts'
import { type PosedFault, paramsOf, posedFaults } from './testing/posed-faults.ts'
import { faultsOfStory } from './testing/story.ts'

/** What a target may stay as it is for after a kill, while the node is up; milliseconds. */
const bound = 5000
/** kubelet starts a container again after this at the earliest, milliseconds. */
const restartMs = 300
const shortMs = 400
let folder = ''
let program = ''

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'fault-pod-killed-'))
  program = await bundleProgram(folder)
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

type World = {
  fault: PosedFault
  pod: PosedPod
  driver: Driver
  targets: string[]
  containers: PosedContainer[]
  images: string[]
}

const cleanAgain = ({ fault, containers, images }: World): Promise<boolean> =>
  until(
    bound,
    () => containers.every((c, i) => fault.image(c) === images[i]),
    () => `left: ${containers.map((c) => fault.image(c))}`,
  )

async function begin(
  name: Fault,
  { start, path, holdMs = shortMs }: Pick<Case, 'start' | 'path'> & { holdMs?: number },
): Promise<World> {
  const fault = posedFaults[name]
  const containers = [fault.pose(), fault.pose()]
  await Promise.all(containers.map((container) => container.ready()))
  const order = orderFor(containers, { fault: name, params: paramsOf(name), start, holdMs })
  const pod = new PosedPod(program, order)
  const targets = order.targets.map(({ id }) => id)
  const [first] = containers as [PosedContainer]
  const driver = new Driver(
    pod,
    { targets, holdMs },
    {
      stopAtOnce: path === 'stopped at once',
      whenHeld() {
        if (path === 'spoilt') fault.spoil(first)
        if (path === 'deleted') pod.program?.kill('SIGTERM')
      },
    },
  )
  const images = containers.map((container) => fault.image(container))
  return { fault, pod, driver, targets, containers, images }
}

function mustDie(how: string, { events }: PosedPod): void {
  if (how === 'exited') throw new Error(`it never came there: ${JSON.stringify(events.slice(-3))}`)
}

/** The program dies at the point; when only a second life comes there, the first one has died while it held. */
async function die({ pod, driver }: World, { point, time, path, after }: Case): Promise<void> {
  const how = after === 'guard killed too' ? 'stop' : 'kill'
  if (path === 'swept') pod.crashAt('program/holding')
  else pod.crashAt(point, { how, time })
  pod.start()
  mustDie(await driver.life(20_000), pod)
  if (path === 'swept') {
    pod.crashAt(point, { how, time })
    await sleep(restartMs)
    pod.startProgram()
    mustDie(await driver.life(20_000), pod)
  }
  expect(pod.hasReached(point)).toBe(true)
  if (how === 'kill') return
  pod.killGuard()
  pod.program?.kill('SIGKILL')
}

async function ending(world: World, one: Case): Promise<void> {
  const { pod, driver, targets } = world
  await die(world, one)
  if (one.after === 'left to the guard') {
    await cleanAgain(world)
    return
  }
  await sleep(restartMs)
  if (one.after === 'guard killed too') pod.startGuard()
  pod.startProgram()
  await cleanAgain(world)
  expect(await driver.life(20_000)).toBe('exited')
  await cleanAgain(world)
  expect(faultsOfStory(driver.heard, targets)).toEqual([])
  expect(existsSync(pod.journal)).toBe(false)
}

describe.each(Object.keys(posedFaults) as Fault[])('%s', (name) => {
  const why = posedFaults[name].cannot()
  describe.skipIf(why !== '')(`killed at every point${why && ` (skipped: ${why})`}`, () => {
    for (const one of casesOf(name))
      it.concurrent(`${one.point} (${one.start}), ${one.after}`, { timeout: 60_000 }, async () => {
        const world = await begin(name, one)
        try {
          await ending(world, one)
        } finally {
          world.pod.remove()
          for (const container of world.containers) await container.remove()
        }
      })
  })
})

describe.skipIf(posedFaults['pod-network-loss'].cannot() !== '')('stopped in mid-hold', () => {
  it('and continued, the program keeps the deadline that it had', { timeout: 60_000 }, async () => {
    const world = await begin('pod-network-loss', { start: 'wait', path: 'whole' })
    const { fault, pod, driver, containers, images } = world
    const isClean = () => containers.every((c, i) => fault.image(c) === images[i])
    try {
      pod.crashAt('program/holding', { how: 'stop', time: 1 })
      pod.start()
      expect(await driver.life(20_000)).toBe('stopped')
      pod.killGuard()
      const from = Date.now()
      await sleep(shortMs)
      pod.program?.kill('SIGCONT')
      await until(bound, isClean)
      expect(Date.now() - from).toBeLessThan(2 * shortMs - 50)
      expect(await driver.life(20_000)).toBe('exited')
    } finally {
      pod.remove()
      for (const container of containers) await container.remove()
    }
  })
})

describe.skipIf(posedFaults['pod-network-loss'].cannot() !== '')('stopped before the act', () => {
  it('and continued late, a hold that the guard ends is cut short', {
    timeout: 60_000,
  }, async () => {
    const late = { start: 'wait', path: 'whole', holdMs: 3000 } as const
    const { pod, driver, containers } = await begin('pod-network-loss', late)
    try {
      pod.crashAt('program/journalled', { how: 'stop', time: 1 })
      pod.start()
      expect(await driver.life(20_000)).toBe('stopped')
      // the guard's own deadline is 1.5 s behind that of a program that acts at once
      await sleep(3000)
      pod.program?.kill('SIGCONT')
      expect(await driver.life(20_000)).toBe('exited')
      const lost = driver.heard.filter((e) => e.event === 'lost')
      expect(lost.length).toBe(2)
      for (const { reason, heldMs } of lost) {
        expect(reason).toMatch(/the guard put it back at its own deadline/)
        expect(heldMs).toBeLessThan(2500)
      }
    } finally {
      pod.remove()
      for (const container of containers) await container.remove()
    }
  })
})

describe.skipIf(posedFaults['pod-network-loss'].cannot() !== '')('a guard', () => {
  const clean = ({ fault, containers, images }: World) =>
    containers.every((c, i) => fault.image(c) === images[i])

  it('that came after the only try to reach it undoes what the program did without it', {
    timeout: 60_000,
  }, async () => {
    const late = { start: 'now', path: 'whole', holdMs: 30_000 } as const
    const world = await begin('pod-network-loss', late)
    const { pod, driver, containers } = world
    try {
      pod.crashAt('program/planned', { how: 'stop', time: 1 })
      pod.startProgram()
      expect(await driver.life(20_000)).toBe('stopped')
      pod.startGuard()
      // it waits at the FIFO, which nobody will open
      await until(bound, () => existsSync(join(pod.journal, 'guard-1')))
      await sleep(restartMs)
      pod.crashAt('program/holding', { how: 'kill', time: 2 })
      pod.program?.kill('SIGCONT')
      mustDie(await driver.life(20_000), pod)
      expect(driver.heard.filter((e) => e.event === 'injected').length).toBeGreaterThan(0)
      await until(bound, () => clean(world))
    } finally {
      pod.remove()
      for (const container of containers) await container.remove()
    }
  })

  it('that has put back what was not done yet keeps the program from doing it', {
    timeout: 60_000,
  }, async () => {
    const world = await begin('pod-network-loss', { start: 'wait', path: 'whole' })
    const { pod, driver, containers } = world
    try {
      pod.crashAt('program/journalled', { how: 'stop', time: 1 })
      pod.start()
      expect(await driver.life(20_000)).toBe('stopped')
      // the hold, and 1.5 s until the guard's deadline
      await sleep(shortMs + 2500)
      pod.program?.kill('SIGCONT')
      expect(await driver.life(20_000)).toBe('exited')
      expect(driver.heard.filter((e) => e.event === 'injected')).toEqual([])
      const failed = driver.heard.filter((e) => e.event === 'inject-failed')
      expect(failed.map(({ reason }) => reason)).toEqual(
        Array(2).fill(expect.stringContaining('Nothing was done to the target')),
      )
      expect(clean(world)).toBe(true)
    } finally {
      pod.remove()
      for (const container of containers) await container.remove()
    }
  })
})

it('every point of the program is tried, or left out with a reason', () => {
  const points = Object.keys(crashPoints).filter((point) => point.startsWith('program/'))
  const tried = casesOf('pod-cpu-hog').map(({ point }) => point as string)
  const known = new Set([...tried, ...Object.keys(leftOut('pod-cpu-hog'))])
  expect(points.filter((point) => !known.has(point))).toEqual([])
})
