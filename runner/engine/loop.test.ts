import { expect, it } from 'vitest'
import { createSteadyClock, systemClock, systemMonotonic } from '../../lib/clock.ts'
import type { Action } from './action.ts'
import { type Execute, RunLoop } from './loop.ts'
import { planOf, runState, shapeOf, target, taskPlan, taskState } from './testing.ts'

const tiny = planOf([taskPlan('hog', { durationMs: 50 })])

/** A small working world: one node that holds what it was told to hold. */
function world(log: string[], holdMs: number): Execute {
  return async (action, emit, signal) => {
    log.push(action.do)
    const at = { task: action.task, target: 'a' }
    const does: Partial<Record<Action['do'], () => Promise<void> | void>> = {
      prepare: () => emit({ fact: 'prepared', task: action.task, targets: [target('a')] }),
      attend: () => new Promise((done) => signal.addEventListener('abort', () => done())),
      async go() {
        emit({ fact: 'pod-created', task: action.task, pod: 'p' })
        emit({ fact: 'wave-sent', task: action.task, wave: 0 })
        emit({ fact: 'injected', ...at, evidence: 'seen', endsAt: systemClock.now() + holdMs })
        setTimeout(() => emit({ fact: 'reverted', ...at, proof: 'gone' }), holdMs)
      },
      async stop() {
        emit({ fact: 'reverted', ...at, proof: 'gone' })
      },
      close: () => emit({ fact: 'closed', task: action.task }),
    }
    await does[action.do]?.()
  }
}

const loopOf = (log: string[], holdMs: number) =>
  new RunLoop({
    plan: tiny,
    state: runState([taskState('hog')]),
    shapeOf,
    execute: world(log, holdMs),
    clock: systemClock,
    observe: () => {},
  })

it('carries a run to its end and clears up', async () => {
  const log: string[] = []
  const loop = loopOf(log, 30)
  expect(await loop.run(AbortSignal.timeout(5000))).toBe('finished')
  expect(log).toEqual(['prepare', 'attend', 'go', 'close'])
  expect(loop.state.tasks[0]).toMatchObject({ stage: 'done', injections: 1, closed: true })
})

it('ends early by the same way when aborted', async () => {
  const log: string[] = []
  const loop = loopOf(log, 60_000)
  const ended = loop.run(AbortSignal.timeout(5000))
  setTimeout(() => loop.emit({ fact: 'aborted', by: 'me' }), 20)
  expect(await ended).toBe('finished')
  expect(log).toContain('stop')
  expect(loop.state.tasks[0]?.targets[0]?.state).toBe('reverted')
})

it('leaves the run as it is when it is halted', async () => {
  const end = new AbortController()
  const loop = loopOf([], 60_000)
  setTimeout(() => end.abort(new Error('handed over')), 30)
  expect(await loop.run(end.signal)).toBe('halted')
  expect(loop.state.tasks[0]?.targets[0]?.state).toBe('injected')
})

it('makes a failure of an action the trouble of its task', async () => {
  const loop = new RunLoop({
    plan: tiny,
    state: runState([taskState('hog')]),
    shapeOf,
    execute: async ({ do: what }) => {
      if (what === 'prepare') throw new Error('no such luck')
    },
    clock: systemClock,
    observe: () => {},
  })
  expect(await loop.run(AbortSignal.timeout(5000))).toBe('finished')
  expect(loop.state.tasks[0]?.trouble?.reason).toBe('no such luck')
})

it.each([
  ['forward', 3_600_000],
  ['back', -3_600_000],
])(
  'holds for as long as asked when the wall clock is set %s by an hour in mid-hold',
  async (_, step) => {
    let off = 0
    const clock = createSteadyClock({ wall: () => Date.now() + off, monotonic: systemMonotonic })
    const holdMs = 600
    const times = { injected: 0, restored: 0 }
    const does: Partial<Record<Action['do'], (emit: Parameters<Execute>[1]) => void>> = {
      prepare: (emit) => emit({ fact: 'prepared', task: 'taint', targets: [target('n')] }),
      inject(emit) {
        times.injected = performance.now()
        emit({ fact: 'wave-sent', task: 'taint', wave: 0 })
        const at = { task: 'taint', target: 'n' }
        emit({ fact: 'injected', ...at, evidence: 'seen', endsAt: clock.now() + holdMs })
        setTimeout(() => {
          off = step
          // whatever happens has the state looked at
          emit({ fact: 'said', task: 'taint', level: 'info', text: 'the clock was set' })
        }, holdMs / 3)
      },
      restore(emit) {
        times.restored = performance.now()
        emit({ fact: 'reverted', task: 'taint', target: 'n', proof: 'gone' })
      },
      close: (emit) => emit({ fact: 'closed', task: 'taint' }),
    }
    const loop = new RunLoop({
      plan: planOf([taskPlan('taint', { fault: 'node-taint', durationMs: holdMs })]),
      state: runState([taskState('taint', { fault: 'node-taint' })]),
      shapeOf,
      execute: async ({ do: what }, emit, signal) => {
        if (what === 'oversee')
          await new Promise<void>((done) => signal.addEventListener('abort', () => done()))
        does[what]?.(emit)
      },
      clock,
      observe: () => {},
    })
    expect(await loop.run(AbortSignal.timeout(4000))).toBe('finished')
    const heldMs = times.restored - times.injected
    expect(heldMs).toBeGreaterThanOrEqual(holdMs - 5)
    expect(heldMs).toBeLessThan(holdMs + 400)
  },
)
