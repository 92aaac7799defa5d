import { describe, expect, it } from 'vitest'
import { capLines } from './caps.ts'
import { dryRunAnnotation, isDryRun } from './dry-run.ts'
import { runState, targetState, taskState } from './testing.ts'
import { judgeRun } from './verdict.ts'

it.each([
  ['true', true],
  ['Yes', true],
  ['false', false],
  ['', false],
])('the annotation %j', (value, is) => expect(isDryRun({ [dryRunAnnotation]: value })).toBe(is))
it('without annotations a run is a run', () => expect(isDryRun(undefined)).toBe(false))

describe('what came of a dry run', () => {
  const targets = [
    targetState('a', { state: 'untouched' }),
    targetState('b', { state: 'untouched' }),
  ]
  const task = taskState('t', { stage: 'done', skipped: true, targets })
  const run = runState([task], { dryRun: true, finishedAt: 2000 })
  it.each([
    ['KubernetesChaosExperiment', 'Completed'],
    ['ChaosExperiment', 'Completed'],
  ] as const)('%s: nothing is claimed', (dialect, phase) => {
    const judged = judgeRun(dialect, run)
    expect(judged).toMatchObject({ phase, verdict: 'N/A', terminal: true, score: 0 })
    expect(judged.message).toBe('dry run: 2 targets would be hit at first; nothing was touched')
    expect(judged.tasks[0]).toMatchObject({ phase: 'Skipped', verdict: 'N/A' })
  })
  it.each([
    ['KubernetesChaosExperiment', 'Error'],
    ['ChaosExperiment', 'Failed'],
  ] as const)('%s: what would stop it is an error', (dialect, phase) => {
    const trouble = { code: 'MISSING_RIGHT' as const, reason: 'may not' }
    const stopped = { ...run, tasks: [{ ...task, targets: [], trouble }] }
    expect(judgeRun(dialect, stopped)).toMatchObject({
      ...{ phase, verdict: 'Error', message: 't: MISSING_RIGHT : may not' },
    })
  })
})

it('names the caps that are set, and where the task would stand', () => {
  const standing = { ofExperiment: 1, ofOthers: 4, candidates: 10, held: 0, cluster: null }
  const none = { perExperiment: null, percent: 100, perCluster: null, percentOfCluster: 100 }
  expect(capLines(2, none, standing)).toEqual([])
  const caps = { perExperiment: 5, percent: 50, perCluster: 9, percentOfCluster: null }
  expect(capLines(2, caps, standing)).toEqual([
    'protection.maxTargets.perExperiment is 5: 3 would be hit at the same time',
    'protection.maxTargets.percent is 50: 2 of 10',
    'protection.maxTargets.perCluster is 9: 7 would be hit at the same time',
  ])
  const share = { ...none, percentOfCluster: 10 }
  const cluster = { size: 40, held: 1, of: 'pods' as const }
  expect(capLines(2, share, { ...standing, cluster })).toEqual([
    'protection.maxTargets.percentOfCluster is 10: 3 of 40 pods',
  ])
  expect(capLines(2, share, standing)).toEqual([
    'protection.maxTargets.percentOfCluster is 10: does not count for workloads',
  ])
})
