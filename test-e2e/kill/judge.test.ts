import { describe, expect, it } from 'vitest'
import { judge, judgeHits, type Seen, type SeenTarget } from './judge.ts'
import type { Case, Fault, Moment, Victim } from './table.ts'

const killedAt = 100_000
const one = (fault: Fault, moment: Moment, ...victims: Victim[]): Case => ({
  fault,
  moment,
  victims,
})
/** Held from one second before the kill until `ms` after it, and so recorded. */
const target = (ms: number, over: Partial<SeenTarget> = {}): SeenTarget => ({
  id: 'a',
  spans: [{ from: killedAt - 1000, to: killedAt + ms }],
  most: 1,
  difference: '',
  injectedAt: killedAt - 1000,
  heldMs: 1000 + ms,
  endsAt: killedAt + 8000,
  ...over,
})
const seen = (targets: SeenTarget[], over: Partial<Seen> = {}): Seen => ({
  killedAt,
  stoodMs: 100,
  backAt: 0,
  holdMs: 9000,
  lifeMs: 30_000,
  struck: 0,
  targets,
  verdicts: ['Error'],
  failStep: 'CUT_SHORT',
  injections: targets.length,
  residue: [],
  ...over,
})
const pass = { verdicts: ['Pass'], failStep: '' }
/** held to its end, which was there soon */
const brief = { ...pass, holdMs: 1000 }
const neverCame =
  'CUT_SHORT : the fault was cut short on a: The guard container did not open x within 10 s: see its log.'
const hog = (...victims: Victim[]) => one('pod-cpu-hog', 'injected', ...victims)
const taint = (...victims: Victim[]) => one('node-taint', 'injected', ...victims)

/** What is wrong with a case; empty: it survived. */
const cases: Record<string, [Case, Seen, string[]]> = {
  'the program dies, and the target is clean in time': [hog('program'), seen([target(600)]), []],
  'it is clean too late': [
    hog('program'),
    seen([target(6000)]),
    ['a was clean 6000 ms after the kill, not 5000'],
  ],
  'of two targets the later one counts': [
    hog('program'),
    seen([target(600), target(7000, { id: 'b' })]),
    ['b was clean 7000 ms after the kill, not 5000'],
  ],
  'the runner dies, and the hold goes on to its end': [
    hog('runner'),
    seen([target(8000)], pass),
    [],
  ],
  'its guard dies before it has come, and no containerd brings it back: the hold is ended, and the run says so':
    [
      one('pod-network-loss', 'armed', 'guard', 'containerd'),
      seen([target(5000)], { failStep: neverCame }),
      [],
    ],
  'the guard had come': [
    one('pod-network-loss', 'injected', 'guard', 'containerd'),
    seen([target(5000)], { failStep: neverCame }),
    [`the run was lost: Error, ${neverCame}`],
  ],
  'nor heard its program of it, which the test held up as soon as it had injected': [
    one('pod-network-loss', 'injected', 'guard', 'kubelet'),
    seen([target(5000)], { failStep: neverCame, stoodMs: 4000 }),
    [],
  ],
  'the guard is brought back': [
    one('pod-network-loss', 'armed', 'guard'),
    seen([target(5000)], { failStep: neverCame }),
    [`the run was lost: Error, ${neverCame}`],
  ],
  'the program goes on beyond its deadline': [
    hog('API server'),
    seen([target(11_000)], pass),
    ['a was clean 3000 ms after the deadline, not 2000'],
  ],
  'with the kubelet away the deadline counts for a program that dies': [
    hog('program', 'kubelet'),
    seen([target(9500)]),
    [],
  ],
  'a fault through the API has until its controller is back': [
    taint('runner', 'API server'),
    seen([target(16_000)], { ...pass, backAt: killedAt + 12_000 }),
    [],
  ],
  'and 5 s more, not longer': [
    taint('runner'),
    seen([target(18_000)], { ...pass, backAt: killedAt + 12_000 }),
    ['a was clean 6000 ms after the controller, not 5000'],
  ],
  'it is not as before: + a rule': [
    hog('program'),
    seen([target(600, { difference: '+ a rule' })]),
    ['a is not as before: + a rule'],
  ],
  'it is still held': [
    hog('program'),
    seen([target(600, { spans: [{ from: killedAt, to: undefined }] })]),
    ['a is still held'],
  ],
  'it is hit twice': [
    hog('program'),
    seen([
      target(600, {
        spans: [
          { from: killedAt - 1000, to: killedAt + 600 },
          { from: killedAt + 700, to: killedAt + 800 },
        ],
      }),
    ]),
    ['a was hit 2 times'],
  ],
  'it is hit a second time while the first is there': [
    hog('program'),
    seen([target(600, { most: 2 })]),
    ['a was hit 2 times at once'],
  ],
  'it is on record as hit more often than there are targets': [
    hog('program'),
    seen([target(600)], { injections: 2 }),
    ['2 injections on 1 targets'],
  ],
  'nothing was hit, and nothing is claimed': [
    hog('program'),
    seen([target(0, { spans: [], injectedAt: undefined, heldMs: undefined })]),
    [],
  ],
  'nothing was hit, and much is claimed': [
    hog('program'),
    seen([target(0, { spans: [], heldMs: 9000 })]),
    ['a was never hit, the record says 9000 ms'],
  ],
  'the seconds are wrong': [
    hog('program'),
    seen([target(600, { heldMs: 9000 })]),
    ['a was held 1600 ms, the record says 9000 (off by 7400)'],
  ],
  'what was put back as the API server died is proven when that is back': [
    taint('API server'),
    seen([target(100, { heldMs: 13_000 })], { ...brief, backAt: killedAt + 10_000 }),
    [],
  ],
  'but no more is on record than until its controller has had its time': [
    taint('API server'),
    seen([target(100, { heldMs: 17_000 })], { ...brief, backAt: killedAt + 10_000 }),
    ['a was held 1100 ms, the record says 17000 (off by 15900)'],
  ],
  'nor more than usual when it was put back after the API server': [
    taint('API server'),
    seen([target(14_000, { heldMs: 18_000 })], { ...pass, backAt: killedAt + 10_000 }),
    ['a was held 15000 ms, the record says 18000 (off by 3000)'],
  ],
  'of what was never on record as injected it is said for how long it may have been': [
    hog('program'),
    seen([target(600, { injectedAt: undefined, heldMs: 20_000 })]),
    [],
  ],
  'for no less than it was': [
    hog('program'),
    seen([target(600, { injectedAt: undefined, heldMs: 1000 })]),
    ['a was held 1600 ms, the record says 1000 (off by -600)'],
  ],
  'and for no more than there was time': [
    hog('program'),
    seen([target(600, { injectedAt: undefined, heldMs: 31_000 })]),
    ['a: the record says up to 31000 ms, the whole run took 30000'],
  ],
  'also of what was never hit': [
    hog('program'),
    seen([target(0, { spans: [], injectedAt: undefined, heldMs: 31_000 })]),
    ['a: the record says up to 31000 ms, the whole run took 30000'],
  ],
  'two verdicts': [
    hog('program'),
    seen([target(600)], { verdicts: ['Pass', 'Error'] }),
    ['there are 2 verdicts: Pass, Error'],
  ],
  'no verdict': [hog('program'), seen([target(600)], { verdicts: [] }), ['there is no verdict']],
  'Pass for what was cut short': [
    hog('program'),
    seen([target(600)], pass),
    ['the verdict is Pass, and not every target was held to the end'],
  ],
  'an Error without a word': [
    hog('program'),
    seen([target(600)], { failStep: '' }),
    ['the verdict is Error, and nothing says why'],
  ],
  'a run that was lost with its runner': [
    hog('runner'),
    seen([target(600)]),
    ['the run was lost: Error, CUT_SHORT'],
  ],
  'but not when the test held its program up before the act': [
    one('pod-cpu-hog', 'half-injected', 'runner'),
    seen([target(600)], { stoodMs: 4000 }),
    [],
  ],
  'held up in mid-hold it is cut short all the same': [
    hog('runner'),
    seen([target(600)], { stoodMs: 4000 }),
    ['the run was lost: Error, CUT_SHORT'],
  ],
  'something is left': [
    hog('program'),
    seen([target(600)], { residue: ['pod x'] }),
    ['left: pod x'],
  ],
  'a deletion that happened once': [
    one('pod-delete', 'half-injected', 'runner'),
    seen([target(60_000, { heldMs: undefined })], { ...pass, struck: 1 }),
    [],
  ],
  'a second strike': [
    one('pod-delete', 'half-injected', 'runner'),
    seen([target(600)], { ...pass, struck: 2 }),
    ['2 objects were struck, not 1', '2 objects were struck, the record says 1'],
  ],
}

describe('a case', () => {
  it.each(Object.entries(cases))('%s', (_name, [what, was, wrong]) =>
    expect(judge(what, was).wrong.map(({ text }) => text)).toEqual(wrong),
  )

  it('is late, or untrue: only bounds in milliseconds are a matter of time', () => {
    const isBound = / ms after the | ms, the record says (\d+|nothing) \(off by /
    for (const [what, was] of Object.values(cases))
      for (const { kind, text } of judge(what, was).wrong)
        expect(kind, text).toBe(isBound.test(text) ? 'time' : 'truth')
  })

  it('that never came to its moment shows all the same that somebody was hit twice', () => {
    const was = seen([target(60_000, { most: 2 })], {
      injections: 2,
      residue: ['it still goes on'],
    })
    expect(judgeHits(hog('program'), was).map(({ text }) => text)).toEqual([
      '2 injections on 1 targets',
      'a was hit 2 times at once',
    ])
  })
  it('tells the longest time and what it counts from', () => {
    const targets = [target(600), target(900, { id: 'b' })]
    expect(judge(hog('program'), seen(targets))).toEqual({ wrong: [], ms: 900, clock: 'kill' })
  })
})
