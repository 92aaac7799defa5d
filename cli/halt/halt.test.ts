import { describe, expect, it } from 'vitest'
import { runState, targetState, taskState } from '../../model/testing.ts'
import { parseArguments } from './arguments.ts'
import { heldText, isHeld } from './held.ts'

const usual = { namespace: 'chaosplane', timeoutMs: 120_000 }

describe('the command line', () => {
  it.each([
    [
      ['--context', 'prod', 'incident', '17'],
      { ...usual, place: { context: 'prod' }, reason: 'incident 17' },
    ],
    [['--context', 'prod'], { ...usual, place: { context: 'prod' }, reason: '' }],
    [['--context', 'prod', '--lift'], { ...usual, place: { context: 'prod' }, reason: null }],
    [
      ['--kubeconfig', 'f', '-n', 'chaos', '--timeout', '5', 'x'],
      { place: { file: 'f' }, namespace: 'chaos', reason: 'x', timeoutMs: 5000 },
    ],
    [
      ['--kubeconfig', 'f', '--context', 'prod', 'x'],
      { ...usual, place: { file: 'f', context: 'prod' }, reason: 'x' },
    ],
  ])('%j', (args, options) => expect(parseArguments(args)).toEqual({ do: 'halt', options }))

  it.each([
    [['incident'], 'which cluster?'],
    [['--context', 'a', '--lift', 'why'], '--lift takes no reason, got "why"'],
    [['--context', 'a', '--timeout', 'soon'], '--timeout must be 1 to 86400 seconds'],
    [['--context', 'a', '-n', ''], '--namespace needs'],
    [['--contexts', 'a'], "Unknown option '--contexts'"],
  ])('%j is refused', (args, reason) =>
    expect(parseArguments(args)).toMatchObject({
      do: 'refuse',
      reason: expect.stringContaining(reason),
    }),
  )
})

describe('what is left', () => {
  const metadata = { name: 'x', namespace: 'v2', uid: 'u', resourceVersion: '1' }
  const finalizers = ['chaos.chaosplane.io/run']
  it('is held while its runner has not let it go', () => {
    expect(isHeld({ metadata })).toBe(false)
    expect(isHeld({ metadata: { ...metadata, finalizers } })).toBe(true)
  })
  it('names what is still in effect, and the commands that remain', () => {
    const targets = [
      targetState('v2/a', { state: 'owed', node: 'n1', remaining: ['undo', 'look'] }),
      targetState('v2/b', { state: 'reverted' }),
    ]
    const run = runState([taskState('t', { targets })])
    expect(heldText('ChaosExperiment', { metadata, status: { run } })).toBe(
      `ChaosExperiment v2/x (${run.runner}):\n    v2/a on node n1 is owed; by hand: undo && look`,
    )
    expect(heldText('ChaosExperiment', { metadata })).toBe(
      'ChaosExperiment v2/x (no runner yet): nothing is injected any more',
    )
  })
})
