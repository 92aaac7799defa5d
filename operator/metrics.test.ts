import { expect, it } from 'vitest'
import type { Experiment } from './experiment/observe.ts'
import { Figures, metricsText } from './metrics.ts'
import { running, runOf, target } from './testing/runs.ts'

const bare = { metadata: { name: 'x', uid: 'u', resourceVersion: '1' } } as Experiment
const stuck = {
  type: 'Stuck',
  status: 'True' as const,
  reason: 'RollbackFailed',
  message: '',
  lastTransitionTime: '2026-11-01T10:00:00Z',
}

it('counts open records, stuck runs and recoveries while it leads', () => {
  const figures = new Figures()
  figures.leading = true
  figures.recoveries.operator = 2
  const targets = [target, { ...target, id: 'b', state: 'owed' as const }]
  const run = runOf(bare, { tasks: [{ ...running, targets }] })
  const text = metricsText(figures, [
    { ...bare, status: { run, conditions: [stuck] } },
    { ...bare, status: { run: runOf(bare, { tasks: [running] }) } },
    bare,
    { ...bare, status: { run: { tasks: 'many' } } } as unknown as Experiment,
  ])
  expect(text.split('\n').filter((line) => line && !line.startsWith('#'))).toEqual([
    'chaosplane_operator_leading 1',
    'chaosplane_recovery_pods_total{by="operator"} 2',
    'chaosplane_recovery_pods_total{by="runner"} 0',
    'chaosplane_open_records{state="injected"} 2',
    'chaosplane_open_records{state="lost"} 0',
    'chaosplane_open_records{state="owed"} 1',
    'chaosplane_stuck_runs 1',
  ])
  expect(text).toContain('# TYPE chaosplane_open_records gauge\n')
})

it('says nothing of runs while it stands by', () => {
  expect(metricsText(new Figures(), [bare])).not.toContain('open_records')
})
