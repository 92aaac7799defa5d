import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
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
