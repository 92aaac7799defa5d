import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

const exec = promisify(execFile)

/** Hears what is being done, line by line; time is added by who listens. */
export type Say = (line: string) => void

/** Limits and surroundings of one command. */
export type RunOptions = { timeoutMs?: number; input?: string; env?: Record<string, string> }

/** Runs a program to its end and returns its standard output; the error holds what it said. */
export async function run(
  command: string,
  args: string[],
  options: RunOptions = {},
): Promise<string> {
  const call = exec(command, args, {
    timeout: options.timeoutMs ?? 60_000,
    maxBuffer: 64 * 1024 * 1024,
    env: { ...process.env, ...options.env },
  })
  // A program that ends before it has read everything is judged by its exit code, not by the broken pipe.
  call.child.stdin?.on('error', () => {})
  call.child.stdin?.end(options.input ?? '')
  try {
    return (await call).stdout
  } catch (e) {
    const { stderr, code, killed } = e as { stderr?: string; code?: unknown; killed?: boolean }
    const how = killed ? 'was ended at its time limit' : `failed (${String(code)})`
    throw new Error(`${command} ${args.join(' ')} ${how}: ${(stderr ?? '').trim()}`, { cause: e })
  }
}

/** Whether a program can be started at all and says yes. */
export async function succeeds(command: string, args: string[], timeoutMs = 10_000) {
  try {
    await run(command, args, { timeoutMs })
    return true
  } catch {
    return false
  }
}
