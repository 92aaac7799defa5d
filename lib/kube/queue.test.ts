import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createQueue, priorities } from './queue.ts'
import { createVirtualClock, settle } from './testing/virtual-clock.ts'
import { runWorkers } from './workers.ts'

const forever = new AbortController().signal
const onClock = () => {
  const clock = createVirtualClock()
  const queue = createQueue({ clock, monotonic: clock.monotonic, random: () => 0 })
  return { clock, queue }
}

describe('a key', () => {
  it('added twice before it is taken comes once', async () => {
    const { queue } = onClock()
    queue.add('a')
    queue.add('a')
    expect(await queue.take(forever)).toBe('a')
    queue.done('a')
    expect(queue.figures()).toMatchObject({ depth: 0, processing: 0 })
  })

  it('added while it is worked on comes once more, after that', async () => {
    const { queue } = onClock()
    queue.add('a')
    await queue.take(forever)
    queue.add('a')
    queue.add('a')
    expect(queue.figures().depth).toBe(0)
    queue.done('a')
    expect(await queue.take(forever)).toBe('a')
    queue.done('a')
    expect(queue.figures().depth).toBe(0)
  })

  it('that is urgent overtakes, also when it waits already', async () => {
    const { queue } = onClock()
    for (const key of ['a', 'b', 'c']) queue.add(key)
    queue.add('c', priorities.urgent)
    expect(await queue.take(forever)).toBe('c')
  })

  it('added with a delay comes when its time is there, the earlier of two', async () => {
    const { clock, queue } = onClock()
    queue.addAfter('a', 1_000)
    queue.addAfter('a', 500)
    queue.addAfter('a', 2_000)
    await clock.advance(499)
    expect(queue.figures()).toMatchObject({ depth: 0, delayed: 1 })
    await clock.advance(1)
    expect(queue.figures()).toMatchObject({ depth: 1, delayed: 0 })
  })

  it('that fails waits longer each time, up to the limit, and starts small after forget', () => {
    const { queue } = onClock()
    const waits = Array.from({ length: 25 }, () => queue.addWithBackoff('a'))
    expect(waits.slice(0, 4)).toEqual([4.5, 9, 18, 36])
    expect(waits.at(-1)).toBe(900_000)
    queue.forget('a')
    expect(queue.addWithBackoff('a')).toBe(4.5)
  })
})

it('many failing keys share ten repetitions a second after a burst of a hundred', () => {
  const { queue } = onClock()
  const waits = Array.from({ length: 120 }, (_, i) => queue.addWithBackoff(`k${i}`))
  expect(Math.max(...waits.slice(0, 100))).toBe(4.5)
  expect(waits[119]).toBeCloseTo(2_000, 5)
})

it('shut, it hands out what is left, takes nothing new in and then ends its takers', async () => {
  const { queue } = onClock()
  queue.add('a')
  queue.addAfter('later', 10)
  queue.shut()
  queue.add('b')
  expect(await queue.take(forever)).toBe('a')
  const next = queue.take(forever)
  const idle = queue.idle(forever)
  queue.done('a')
  expect(await next).toBeUndefined()
  await idle
})

it('a taker hears its signal', async () => {
  const { queue } = onClock()
  const controller = new AbortController()
  const taking = queue.take(controller.signal)
  controller.abort(new Error('enough'))
  await expect(taking).rejects.toThrow('enough')
  queue.add('a')
  expect(queue.figures().depth).toBe(1)
})

type Step = { do: 'add' | 'urgent' | 'later' | 'fail' | 'finish' | 'wait'; key: string }
const steps = fc.array(
  fc.record<Step>({
    do: fc.constantFrom('add', 'urgent', 'later', 'fail', 'finish', 'wait'),
    key: fc.constantFrom('a', 'b', 'c'),
  }),
  { maxLength: 60 },
)

it('whatever happens: never two workers on a key, and each add is followed by a pass that began after it', async () => {
  await fc.assert(
    fc.asyncProperty(steps, async (all) => {
      const { clock, queue } = onClock()
      const held = new Map<string, { fail: boolean; end: () => void }>()
      /** adds that no pass has begun after */
      const owed = new Set<string>()
      let twice = 0
      const reconcile = async (key: string) => {
        if (held.has(key)) twice++
        owed.delete(key)
        const pass = Promise.withResolvers<void>()
        const mine = { fail: false, end: pass.resolve }
        held.set(key, mine)
        await pass.promise
        held.delete(key)
        if (mine.fail) throw new Error('as asked')
        return { next: 'idle' } as const
      }
      const working = runWorkers({ queue, workers: 3, reconcile }, forever)
      for (const step of all) await play(step, { queue, clock, held, owed })
      // everybody succeeds from now on
      for (let i = 0; i < 40; i++) {
        for (const pass of held.values()) pass.end()
        await clock.advance(1_000)
      }
      expect(twice).toBe(0)
      expect([...owed]).toEqual([])
      expect(queue.figures()).toMatchObject({ depth: 0, processing: 0, delayed: 0 })
      queue.shut()
      await working
    }),
    { numRuns: 60 },
  )
})

type World = ReturnType<typeof onClock> & {
  held: Map<string, { fail: boolean; end: () => void }>
  owed: Set<string>
}

async function play(step: Step, { queue, clock, held, owed }: World): Promise<void> {
  const pass = held.get(step.key)
  if (step.do === 'add' || step.do === 'urgent' || step.do === 'later') {
    owed.add(step.key)
    if (step.do === 'later') queue.addAfter(step.key, 100)
    else queue.add(step.key, priorities[step.do === 'add' ? 'normal' : 'urgent'])
  }
  if (step.do === 'wait') await clock.advance(50)
  if (pass && step.do === 'fail') pass.fail = true
  if (pass && (step.do === 'fail' || step.do === 'finish')) pass.end()
  await settle()
}
