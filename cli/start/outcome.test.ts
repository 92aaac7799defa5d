import { describe, expect, it } from 'vitest'
import {
  exitCodeOf,
  type Found,
  isRestored,
  lastSums,
  loadBetween,
  outcomeLines,
  resultLines,
} from './outcome.ts'
import { at, run, seen, target, task } from './view/fixture.ts'
import type { Seen } from './view/model.ts'
import { paint } from './view/text.ts'

const clean: Found = {
  finalizers: [],
  pods: [],
  deployments: [
    { complete: true, text: 'podtato-hats 2/2' },
    { complete: true, text: 'podtato-left-leg 2/2' },
  ],
  recoveredMs: 1_500,
  load: { sent: 1_800, failed: 2 },
}
const back = target('hats-a', { state: 'reverted', revertedAt: at(4) })
const ended = (change: Partial<Seen> = {}, targets = [back]): Seen =>
  seen(run([task('del', { stage: 'done', targets }), task('hog', { stage: 'done' })]), {
    phase: 'Completed',
    verdict: 'Pass',
    score: 100,
    verdicts: { del: 'Pass', hog: 'Pass' },
    ...change,
  })
const owed = target('leg-a', { state: 'owed', remaining: ['kill 7'] })

describe('exit code', () => {
  const cases: [string, Seen, Found, number][] = [
    ['0 for Pass', ended(), clean, 0],
    ['1 for Fail', ended({ verdict: 'Fail' }), clean, 1],
    ['2 for Error', ended({ verdict: 'Error' }), clean, 2],
    ['2 for Stopped', ended({ verdict: 'Stopped' }), clean, 2],
    ['2 for a Pass with a target that is owed', ended({}, [back, owed]), clean, 2],
    ['2 for a Pass with a fault pod left', ended(), { ...clean, pods: ['fault-1'] }, 2],
    ['2 for a Pass with a finalizer left', ended(), { ...clean, finalizers: ['x/run'] }, 2],
    ['2 when the demo is gone', ended(), { ...clean, deployments: [] }, 2],
    [
      '2 for a Pass with a Deployment that did not recover',
      ended(),
      { ...clean, deployments: [{ complete: false, text: 'podtato-hats 1/2' }] },
      2,
    ],
  ]
  it.each(cases)('%s', (_, of, found, code) => {
    expect(exitCodeOf(of, found)).toBe(code)
    if (code === 0) expect(isRestored(of, found)).toBe(true)
  })
})

describe('the outcome in words', () => {
  const text = (of: Seen, found: Found) => outcomeLines(of, found).map((l) => paint(l, false))

  it('says verdict, tasks and what was put back', () => {
    expect(text(ended(), clean)).toEqual([
      '',
      'Verdict Pass, resilience score 100',
      '  del  Pass',
      '  hog  Pass',
      '',
      'Put back',
      '  ✓ 1 of 1 targets proven to be as before',
      '  ✓ podtato-hats 2/2 available',
      '  ✓ podtato-left-leg 2/2 available',
      '  ✓ fault pods left: none',
      '  ✓ finalizers left: none',
      '  ✓ all of it within 1.5 s after the verdict',
      '    the load sent 1800 requests meanwhile, 2 of them failed',
    ])
  })

  it('names what is still owed with the command that remains', () => {
    const lines = text(ended({ verdict: 'Error', score: 0 }, [back, owed]), {
      ...clean,
      pods: ['fault-1'],
    })
    expect(lines).toContain('  ✗ 1 of 2 targets proven to be as before')
    expect(lines).toContain('    demo/leg-a is owed: kill 7')
    expect(lines).toContain('  ✗ fault pods left: fault-1')
  })

  it('gives commands that can be pasted', () => {
    const lines = resultLines(ended(), 'kubectl --kubeconfig /x/admin').map((l) => paint(l, false))
    expect(lines).toContain(
      '    kubectl --kubeconfig /x/admin get -n v2 kuberneteschaosexperiment api-payload-test -o yaml',
    )
    expect(lines.some((l) => l.endsWith("/api/runs/r1'"))).toBe(true)
    expect(lines.some((l) => l.endsWith("/api/logs?key=r1-del'"))).toBe(true)
  })
})

describe('the load', () => {
  const line = (sent: number, failed: number) =>
    JSON.stringify({ at: 1, sent, ok: sent - failed, failed, skipped: 0 })

  it('is read from the newest whole line of its log', () => {
    expect(lastSums(`${line(1, 0)}\n${line(20, 1)}\n{"at":`)).toMatchObject({ sent: 20, failed: 1 })
    expect(lastSums('')).toBeNull()
  })

  it('is the difference of two sums, and unknown after a restart', () => {
    const [a, b] = [lastSums(line(10, 1)), lastSums(line(50, 3))]
    expect(loadBetween(a, b)).toEqual({ sent: 40, failed: 2 })
    expect(loadBetween(b, a)).toBeNull()
    expect(loadBetween(null, b)).toBeNull()
  })
})
