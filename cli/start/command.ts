import { execFile } from 'node:child_process'

/** One call of a program. */
export type Command = {
  program: string
  args: string[]
  input?: string
  env?: Record<string, string | undefined>
  timeoutMs: number
}

/** Runs a program to its end and returns what it printed. A failure says what the program said. */
export function runCommand(command: Command, signal: AbortSignal): Promise<string> {
  const { program, args, input, env, timeoutMs } = command
  return new Promise((resolve, reject) => {
    const options = {
      signal,
      timeout: timeoutMs,
      maxBuffer: 64 * 1024 * 1024,
      ...(env ? { env } : {}),
    }
    const child = execFile(program, args, options, (error, stdout, stderr) => {
      if (!error) resolve(stdout)
      else if (signal.aborted) reject(signal.reason)
      else reject(new Error(whatWentWrong(command, error, stderr), { cause: error }))
    })
    // A program that ends before it has read everything is judged by its exit code.
    child.stdin?.on('error', () => {})
    child.stdin?.end(input ?? '')
  })
}

function whatWentWrong(
  { program, args, timeoutMs }: Command,
  error: Error & { code?: unknown; killed?: boolean },
  stderr: string,
): string {
  const name = program.split('/').at(-1)
  const call = `${name} ${args.join(' ')}`
  if (error.code === 'ENOENT') return `${name} is missing; install it and start again`
  if (error.killed) return `${call} did not end within ${timeoutMs / 1000} s: ${stderr.trim()}`
  return `${call} failed: ${stderr.trim() || error.message}`
}
