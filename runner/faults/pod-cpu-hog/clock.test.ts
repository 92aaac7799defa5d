import { spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { buildWrongClock, hasCompiler, WrongClock } from '../../fault-pod/testing/wrong-clock.ts'
import { stressCommand } from './commands.ts'

const here = hasCompiler && spawnSync('stress-ng', ['--version']).status === 0

describe.skipIf(!here)('the limit that the stressor carries itself', () => {
  const folder = mkdtempSync(join(tmpdir(), 'clock-'))
  const library = join(folder, 'liar.so')
  beforeAll(() => buildWrongClock(library))
  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  it.concurrent.each([
    ['an hour back', -3600, 50],
    ['an hour forward', 3600, 50],
    ['an hour back, at full load', -3600, 100],
  ])('holds when the wall clock jumps %s', async (_name, seconds, loadPercent) => {
    const file = join(folder, `${seconds}-${loadPercent}`)
    const clock = new WrongClock(library, file)
    const [program, ...args] = stressCommand({ workers: 1, loadPercent, timeoutS: 2 })
    const env = { PATH: process.env['PATH'], ...clock.env }
    const begun = performance.now()
    const stress = spawn(program, args, { env, stdio: 'ignore' })
    const ended = new Promise((resolve) => stress.on('exit', resolve))
    await sleep(800)
    clock.jump(seconds)
    const late = setTimeout(() => stress.kill('SIGKILL'), 12_000)
    await ended
    clearTimeout(late)
    const tookMs = performance.now() - begun
    // it did read the clock that had jumped
    expect(clock.reads).toBeGreaterThan(0)
    expect(tookMs).toBeGreaterThan(1900)
    expect(tookMs).toBeLessThan(5000)
  })
})
