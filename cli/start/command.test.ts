import { describe, expect, it } from 'vitest'
import { runCommand } from './command.ts'

const live = () => new AbortController().signal
const sh = (script: string, timeoutMs = 10_000) => ({
  program: 'sh',
  args: ['-c', script],
  timeoutMs,
})

describe('runCommand', () => {
  it('returns what the program printed', async () => {
    expect(await runCommand(sh('echo hello'), live())).toBe('hello\n')
  })

  it('gives it its input', async () => {
    expect(await runCommand({ ...sh('cat'), input: 'text' }, live())).toBe('text')
  })

  it('fails with the words of the program', async () => {
    await expect(runCommand(sh('echo broken >&2; exit 3'), live())).rejects.toThrow(/broken/)
  })

  it('says that a program is missing', async () => {
    const missing = { program: 'no-such-program', args: [], timeoutMs: 1000 }
    await expect(runCommand(missing, live())).rejects.toThrow(
      'no-such-program is missing; install it',
    )
  })

  it('ends at its time limit', async () => {
    await expect(runCommand(sh('sleep 20', 50), live())).rejects.toThrow('within 0.05 s')
  })

  it('ends with the reason of the signal', async () => {
    const stop = new AbortController()
    const reason = new Error('Ctrl-C')
    const running = runCommand(sh('sleep 20'), stop.signal)
    stop.abort(reason)
    await expect(running).rejects.toBe(reason)
  })
})
