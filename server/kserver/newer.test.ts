import { describe, expect, it } from 'vitest'
import { fixture } from '../../model/wire/fixtures.ts'
import { parseExecutionData, type ReceivedExecutionData } from '../../model/wire/kserver.ts'
import { mayReplace } from './newer.ts'
import { tallyOf } from './score.ts'

const text = JSON.parse(fixture('kserver-task-response.request.json')).args.executionData
const root = 'api-payload-test'
const first = 'api-payload-test-pod-delete-wm3'
const second = 'api-payload-test-pod-cpu-hog-pys'

type Change = { phase?: string; verdict?: string; percentage?: string; at?: string }
function state(changes: Record<string, Change>, eventType = 'UPDATE'): ReceivedExecutionData {
  const data = { ...parseExecutionData(text), eventType }
  for (const [key, change] of Object.entries(changes)) {
    const node = data.nodes[key]
    if (!node) throw new Error(key)
    node.phase = change.phase ?? node.phase
    if (!node.chaosData) continue
    node.chaosData.experimentVerdict = change.verdict ?? node.chaosData.experimentVerdict
    node.chaosData.probeSuccessPercentage = change.percentage ?? ''
    node.chaosData.lastUpdatedAt = change.at ?? node.chaosData.lastUpdatedAt
  }
  return data
}

describe('which state of a run stays', () => {
  const running = { completed: false, data: state({}) }
  const later = { completed: false, data: state({ [first]: { at: '1746117530' } }) }
  const further = {
    completed: false,
    data: state({ [first]: { phase: 'Completed', at: '1746117400' } }),
  }
  const done = {
    completed: true,
    data: state({ [root]: { phase: 'Completed' }, [first]: { phase: 'Completed' } }),
  }
  const created = { completed: false, data: state({}, 'CREATE') }

  it.each([
    ['a later stamp replaces', running, later, true],
    ['an earlier stamp does not', later, running, false],
    ['progress beats the clock of another runner', later, further, true],
    ['what is behind never replaces', further, later, false],
    ['the completed one replaces', further, done, true],
    ['nothing unfinished replaces a completed one', done, further, false],
    ['a repeated completed one may be written again', done, done, true],
    ['a late CREATE does not replace an UPDATE', running, created, false],
    ['an UPDATE of the same second replaces the CREATE', created, running, true],
  ] as const)('%s', (_name, known, next, expected) => {
    expect(mayReplace(known, next)).toBe(expected)
  })
})

describe('the score of a finished run', () => {
  it.each([
    ['all passed', ['Pass', '100'], ['Pass', '100'], { score: 100, passed: 2, total: 2 }],
    ['one of three probes failed', ['Pass', '100'], ['Fail', '33'], { score: 66.5, failed: 1 }],
    ['cut, not rounded', ['Pass', '66.666'], ['Pass', '66.666'], { score: 66.66 }],
    ['no number counts 0', ['Pass', '100'], ['Awaited', 'Awaited'], { score: 50, awaited: 1 }],
    ['Error is in no counter', ['Error', '0'], ['Stopped', '0'], { stopped: 1, na: 0, total: 2 }],
    ['empty and N/A are not applicable', ['', ''], ['N/A', ''], { na: 2, score: 0 }],
    ['more than all is all', ['Pass', '700'], ['Pass', '100'], { score: 100 }],
  ] as const)('%s', (_name, [v1, p1], [v2, p2], expected) => {
    const data = state({
      [first]: { verdict: v1, percentage: p1 },
      [second]: { verdict: v2, percentage: p2 },
    })
    expect(tallyOf(data)).toMatchObject(expected)
  })
})
