import { describe, expect, it } from 'vitest'
import type { Clock } from '../../lib/clock.ts'
import type { StartOptions } from './arguments.ts'
import { createCleanup, orAborted } from './cleanup.ts'
import { createProgress } from './progress.ts'
import { type Body, interruptedCode, runStart } from './start.ts'
import type { Screen } from './terminal.ts'
import { paint } from './view/text.ts'

const clock: Clock = { now: () => 0, sleep: () => new Promise(() => {}) }
const options: StartOptions = {
  context: null,
  image: null,
  provider: null,
  once: true,
  keep: false,
  timeoutMs: 1_000,
}

function setUp() {
  const printed: string[] = []
  const screen: Screen = {
    isTerminal: false,
    columns: () => 80,
    print: (line) => void printed.push(paint(line, false)),
    show: () => {},
    settle: () => {},
    end: () => void printed.push('<end>'),
  }
  const [stop, hurry] = [new AbortController(), new AbortController()]
  const cleanup = createCleanup()
  const progress = createProgress({ screen, clock, signal: stop.signal })
  const shared = { env: {}, pid: 0, clock, screen, cleanup, progress }
  const start = { ...shared, stop: stop.signal, hurry: hurry.signal }
  const removed: string[] = []
  const made = (what: string) => ({
    what,
    byHand: `remove ${what}`,
    remove: async () => void removed.push(what),
  })
  return { start, stop, hurry, cleanup, printed, removed, made }
}

/** A demo that makes two things and then waits until it is interrupted. */
const waits =
  (t: ReturnType<typeof setUp>, then: () => void): Body =>
  async (_, world) => {
    world.cleanup.add(t.made('cluster'))
    world.cleanup.add(t.made('experiment'))
    queueMicrotask(then)
    return await orAborted(new Promise<number>(() => {}), world.stop)
  }

describe('npm start ends', () => {
  it('with the code of the verdict, after removing everything', async () => {
    const t = setUp()
    const body: Body = async (_, world) => {
      world.cleanup.add(t.made('cluster'))
      return 1
    }
    expect(await runStart(options, t.start, body)).toBe(1)
    expect(t.removed).toEqual(['cluster'])
    expect(t.printed.at(-1)).toBe('<end>')
  })

  it('with 130 on Ctrl-C in the middle, in the opposite order of making', async () => {
    const t = setUp()
    const body = waits(t, () => t.stop.abort(new Error('interrupted')))
    expect(await runStart(options, t.start, body)).toBe(interruptedCode)
    expect(t.removed).toEqual(['experiment', 'cluster'])
  })

  it('at once on the second Ctrl-C, with a list of what is left and how to remove it', async () => {
    const t = setUp()
    const body = waits(t, () => {
      t.cleanup.add({
        what: 'slow thing',
        byHand: 'wait for it',
        remove: () => {
          t.hurry.abort(new Error('interrupted twice'))
          return new Promise(() => {})
        },
      })
      t.stop.abort(new Error('interrupted'))
    })
    expect(await runStart(options, t.start, body)).toBe(interruptedCode)
    expect(t.removed).toEqual([])
    const list = t.printed.slice(t.printed.indexOf('Still there, and how to remove it:') + 1)
    expect(list.filter((l) => l.startsWith('    '))).toEqual([
      '    wait for it',
      '    remove experiment',
      '    remove cluster',
    ])
  })

  it('with 2 and the reason when something fails, and still removes everything', async () => {
    const t = setUp()
    const body: Body = async (_, world) => {
      world.cleanup.add(t.made('cluster'))
      throw new Error('no image; build one')
    }
    expect(await runStart(options, t.start, body)).toBe(2)
    expect(t.printed).toContain('no image; build one')
    expect(t.removed).toEqual(['cluster'])
  })

  it('not with 0 when something could not be removed', async () => {
    const t = setUp()
    const body: Body = async (_, world) => {
      const remove = () => Promise.reject(new Error('no answer'))
      world.cleanup.add({ ...t.made('cluster'), remove })
      return 0
    }
    expect(await runStart(options, t.start, body)).toBe(2)
    expect(t.printed).toContain('  cluster: no answer')
  })

  it('with everything in place under --keep, and says how to remove it', async () => {
    const t = setUp()
    const body: Body = async (_, world) => {
      world.cleanup.add(t.made('cluster'))
      return 0
    }
    expect(await runStart({ ...options, once: false, keep: true }, t.start, body)).toBe(0)
    expect(t.removed).toEqual([])
    expect(t.printed).toContain('    remove cluster')
  })

  it('only after Ctrl-C without --once, and then by verdict', async () => {
    const t = setUp()
    const body: Body = async (_, world) => {
      world.cleanup.add(t.made('cluster'))
      setImmediate(() => {
        expect(t.removed).toEqual([])
        t.stop.abort(new Error('interrupted'))
      })
      return 0
    }
    expect(await runStart({ ...options, once: false }, t.start, body)).toBe(0)
    expect(t.removed).toEqual(['cluster'])
  })

  it('only after Ctrl-C also when something failed, so that it can be looked at', async () => {
    const t = setUp()
    const body: Body = async (_, world) => {
      world.cleanup.add(t.made('cluster'))
      setImmediate(() => {
        expect(t.removed).toEqual([])
        t.stop.abort(new Error('interrupted'))
      })
      throw new Error('broken')
    }
    expect(await runStart({ ...options, once: false }, t.start, body)).toBe(2)
    expect(t.removed).toEqual(['cluster'])
  })

  it('at once when nothing was made before it failed', async () => {
    const t = setUp()
    const body: Body = () => Promise.reject(new Error('no Go'))
    expect(await runStart({ ...options, once: false }, t.start, body)).toBe(2)
  })

  it('after closing what was opened', async () => {
    const t = setUp()
    let closed = 0
    const body: Body = async (_, world) => {
      world.atEnd(async () => void closed++)
      throw new Error('x')
    }
    await runStart(options, t.start, body)
    expect(closed).toBe(1)
  })
})
