import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { NodeEvent } from '../../model/fault-pod.ts'
import { type Kept, nothingKept, type OpenGo } from './journal.ts'
import { leavesNothing, type WithoutJournal, wordsWithoutJournal } from './no-journal.ts'
import { bundleProgram, exitOf, orderFor, PosedPod } from './testing/pod.ts'

let folder = ''
let program = ''
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'fault-pod-no-journal-'))
  program = await bundleProgram(folder)
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const target = {
  id: 'demo/web/app',
  ...{ namespace: 'demo', pod: 'web', podUid: 'u', container: 'app', containerId: 'c' },
  touched: true as const,
}

it('what is told without a journal has numbers that the next program in place does not use again', async () => {
  const sweep = { start: 'sweep', fault: '', params: {}, holdMs: 0, attempt: 2 } as const
  const pod = new PosedPod(program, orderFor([], { ...sweep, targets: [target], after: 3 }))
  try {
    // no room: a file stands where its folder would be
    const obstacle = join(pod.disk, 'run')
    writeFileSync(obstacle, '')
    pod.startProgram()
    const failed = await pod.event('revert-failed')
    expect(failed).toMatchObject({ seq: 4, remaining: [`sh ${pod.journal}/undo.sh`] })
    pod.send({ do: 'ack', seq: failed.seq })
    pod.program?.kill('SIGKILL')
    await exitOf(pod.program)
    rmSync(obstacle)
    pod.startProgram()
    pod.send({ do: 'hello', acknowledged: failed.seq })
    const reverted = await pod.event('reverted')
    expect(reverted.seq).toBeGreaterThan(failed.seq)
  } finally {
    pod.remove()
  }
})

describe('a program without a journal', () => {
  const earlier = (...events: ['injected' | 'reverted' | 'armed', string][]): NodeEvent[] =>
    events.map(([event, id], index) => ({ seq: index + 1, at: 1, event, target: id }) as NodeEvent)
  const go = (id: string): OpenGo => ({
    file: 'go-1.sh',
    fault: 'pod-cpu-hog',
    guardAt: 0,
    planned: [{ found: { id } as OpenGo['planned'][0]['found'], plan: {} }],
  })
  const hit: Kept = { acknowledged: 0, earlier: earlier(['injected', target.id]), open: [] }
  const order = (over = {}) =>
    orderFor([], { targets: [{ ...target, touched: undefined }], ...over } as never)

  it.each<[string, Partial<WithoutJournal>, string[], boolean]>([
    ['that is the first refuses', {}, ['refused'], true],
    [
      'refuses what was armed alone, and leaves that behind',
      { kept: { ...hit, earlier: earlier(['armed', target.id]) } },
      ['refused'],
      false,
    ],
    ['owes what is open', { kept: { ...hit, open: [go(target.id)] } }, ['revert-failed'], false],
    [
      'refuses what another go did not hit',
      { kept: { ...hit, earlier: [], open: [go('demo/other/app')] } },
      ['refused'],
      false,
    ],
    ['owes all when nobody can read what was done', { kept: null }, ['revert-failed'], false],
    [
      'owes what was reported to be injected',
      { order: order({ targets: [target], attempt: 2 }) },
      ['revert-failed'],
      false,
    ],
    [
      'has what is over told by the journal',
      { kept: { ...hit, earlier: earlier(['injected', target.id], ['reverted', target.id]) } },
      [],
      false,
    ],
    ['knows by the record that has gone that it is over', { kept: hit }, ['reverted'], false],
    [
      'that has forgotten what it told does not say that nothing was done',
      { hasForgotten: true },
      ['reverted'],
      true,
    ],
  ])('%s', (_, known, said, nothingLeft) => {
    const all = {
      order: order(),
      reason: 'No room.',
      folder: '/j',
      kept: nothingKept,
      hasForgotten: false,
      ...known,
    }
    expect(wordsWithoutJournal(all).map(({ event }) => event)).toEqual(said)
    expect(leavesNothing(all)).toBe(nothingLeft)
  })
})
