import { systemClock } from '../../lib/clock.ts'
import { parseArguments, usage } from './arguments.ts'
import { createCleanup } from './cleanup.ts'
import { createProgress } from './progress.ts'
import { runStart } from './start.ts'
import { createScreen, type Output } from './terminal.ts'

/** `npm start`: reads the command line, hears Ctrl-C, and leaves nothing. */
const parsed = parseArguments(process.argv.slice(2))
if (parsed.do === 'help') console.log(usage)
else if (parsed.do === 'refuse') {
  console.error(`npm start: ${parsed.reason}\nSee: npm start -- --help`)
  process.exitCode = 64
} else {
  const stop = new AbortController()
  const hurry = new AbortController()
  const hear = () => {
    if (stop.signal.aborted) hurry.abort(new Error('interrupted twice'))
    else stop.abort(new Error('interrupted'))
  }
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, hear)
  const screen = createScreen(standardOutput())
  const clock = systemClock
  const cleanup = createCleanup()
  const code = await runStart(parsed.options, {
    env: process.env,
    pid: process.pid,
    clock,
    screen,
    cleanup,
    progress: createProgress({ screen, clock, signal: stop.signal }),
    stop: stop.signal,
    hurry: hurry.signal,
  })
  // Whatever still waits somewhere has nothing to do any more.
  process.exit(code)
}

function standardOutput(): Output {
  const { stdout } = process
  const isTerminal = stdout.isTTY === true && process.env['TERM'] !== 'dumb'
  return {
    isTerminal,
    colour: isTerminal && !process.env['NO_COLOR'],
    columns: () => stdout.columns ?? 80,
    rows: () => stdout.rows ?? 24,
    write: (text) => void stdout.write(text),
  }
}
