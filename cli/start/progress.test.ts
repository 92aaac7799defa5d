import { describe, expect, it } from 'vitest'
import type { Clock } from '../../lib/clock.ts'
import { createProgress } from './progress.ts'
import type { Screen } from './terminal.ts'
import { paint } from './view/text.ts'

/** A clock whose sleeps end when the test moves it. */
function handClock() {
  let now = 0
  const sleepers: { at: number; wake: () => void }[] = []
  const clock: Clock = {
    now: () => now,
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        if (signal.aborted) reject(signal.reason)
        signal.addEventListener('abort', () => reject(signal.reason))
        sleepers.push({ at: now + ms, wake: resolve })
      }),
  }
  const pass = async (ms: number) => {
    now += ms
    for (const s of sleepers.filter((each) => each.at <= now)) s.wake()
    await new Promise((done) => setImmediate(done))
  }
  return { clock, pass }
}

function fakeScreen(isTerminal: boolean) {
  const printed: string[] = []
  let block: string[] = []
  const screen: Screen = {
    isTerminal,
    columns: () => 80,
    print: (line) => void printed.push(paint(line, false)),
    show: (lines) => {
      block = lines.map((line) => paint(line, false))
    },
    settle: () => {},
    end: () => {},
  }
  return { screen, printed, block: () => block }
}

const setUp = (isTerminal: boolean) => {
  const stop = new AbortController()
  const hand = handClock()
  const seen = fakeScreen(isTerminal)
  const progress = createProgress({ screen: seen.screen, clock: hand.clock, signal: stop.signal })
  return { stop, ...hand, ...seen, progress }
}

describe('progress on a terminal', () => {
  it('counts every step that runs, and leaves a line of each', async () => {
    const { progress, pass, block, printed } = setUp(true)
    const [cluster, image] = [Promise.withResolvers<number>(), Promise.withResolvers<void>()]
    const first = progress.step('cluster', () => cluster.promise)
    const second = progress.step('image', async (say) => {
      say('layer 2')
      await image.promise
    })
    await pass(1_200)
    expect(block()).toEqual(['● cluster  1.2 s', '● image  1.2 s  layer 2'])
    cluster.resolve(7)
    expect(await first).toBe(7)
    expect(block()).toEqual(['● image  1.2 s  layer 2'])
    await pass(800)
    image.resolve()
    await second
    expect(printed).toEqual(['✓ cluster  1.2 s', '✓ image  2.0 s  layer 2'])
    expect(block()).toEqual([])
  })

  it('says failed, or interrupted when told to stop', async () => {
    const { progress, stop, printed } = setUp(true)
    const broken = new Error('no')
    await expect(progress.step('a', () => Promise.reject(broken))).rejects.toBe(broken)
    stop.abort(broken)
    await expect(progress.step('b', () => Promise.reject(broken))).rejects.toBe(broken)
    expect(printed).toEqual(['✗ a  failed after 0.0 s', '■ b  interrupted after 0.0 s'])
  })
})

describe('progress without a terminal', () => {
  it('says begin and end, and in between that it is alive', async () => {
    const { progress, pass, printed } = setUp(false)
    const work = Promise.withResolvers<void>()
    const step = progress.step('image', () => work.promise)
    await pass(1_000)
    await pass(14_000)
    work.resolve()
    await step
    expect(printed).toEqual(['  image …', '● image  15.0 s', '✓ image  15.0 s'])
  })
})
