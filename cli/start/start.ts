import type { StartOptions } from './arguments.ts'
import type { CleanupEvent, Left } from './cleanup.ts'
import { runDemo } from './run.ts'
import type { Line } from './view/text.ts'
import type { World } from './world.ts'

/** Exit codes beyond the verdict's 0, 1 and 2. */
export const interruptedCode = 130
const failedCode = 2

/** The second Ctrl-C comes over `hurry`. */
export type Start = Omit<World, 'atEnd'> & { hurry: AbortSignal }
/** What is run between the beginning and the clean-up. */
export type Body = (options: StartOptions, world: World) => Promise<number>

/** Runs the demo and removes what it made, whatever happens in between; returns the exit code. */
export async function runStart(
  options: StartOptions,
  { hurry, ...shared }: Start,
  body: Body = runDemo,
): Promise<number> {
  const closers: (() => Promise<void>)[] = []
  const world: World = { ...shared, atEnd: (close) => void closers.push(close) }
  const { screen, cleanup } = world
  const { code, isWhole } = await attempt(options, world, body)
  try {
    const stays = options.keep && !world.stop.aborted
    // What went wrong is best looked at where it happened.
    const isWorthALook = isWhole || cleanup.left().length > 0
    if (isWorthALook && !options.once && !stays) await untilStopped(world)
    if (stays) tellKept(cleanup.left(), world)
    else if (!(await clean(world, hurry))) return code === 0 ? failedCode : code
    return code
  } finally {
    screen.end()
    for (const close of closers) await close().catch(() => {})
  }
}

async function attempt(
  options: StartOptions,
  world: World,
  body: Body,
): Promise<{ code: number; isWhole: boolean }> {
  const { screen, stop } = world
  try {
    return { code: await body(options, world), isWhole: true }
  } catch (error) {
    screen.settle()
    if (stop.aborted) return { code: interruptedCode, isWhole: false }
    screen.print([['', 'plain']])
    screen.print([[error instanceof Error ? error.message : String(error), 'bad']])
    return { code: failedCode, isWhole: false }
  }
}

function untilStopped({ screen, stop }: World): Promise<void> {
  screen.print([['', 'plain']])
  screen.print([['Everything stays as it is until Ctrl-C, which removes it.', 'strong']])
  return new Promise((resolve) => {
    if (stop.aborted) resolve()
    else {
      // A pending promise alone does not keep the process alive.
      const alive = setInterval(() => {}, 60_000)
      stop.addEventListener('abort', () => {
        clearInterval(alive)
        resolve()
      })
    }
  })
}

/** True when nothing is left. */
async function clean({ screen, cleanup }: World, hurry: AbortSignal): Promise<boolean> {
  if (cleanup.left().length === 0) return true
  screen.print([['', 'plain']])
  screen.print([['Removing what was made; Ctrl-C once more stops at once.', 'strong']])
  const left = await cleanup.run(hurry, (event) => screen.print(eventLine(event)))
  if (left.length === 0) return true
  screen.print([['', 'plain']])
  screen.print([['Still there, and how to remove it:', 'bad']])
  for (const line of leftLines(left)) screen.print(line)
  return false
}

function tellKept(left: Left[], { screen }: World): void {
  screen.print([['', 'plain']])
  screen.print([['Kept (--keep), and how to remove it:', 'strong']])
  for (const line of leftLines(left)) screen.print(line)
}

const leftLines = (left: Left[]): Line[] =>
  left.flatMap(({ what, byHand, why }): Line[] => [
    [[`  ${what}${why ? `: ${why}` : ''}`, 'plain']],
    [[`    ${byHand}`, 'dim']],
  ])

function eventLine(event: CleanupEvent): Line {
  if (event.event === 'removing') return [[`  removing ${event.what} …`, 'dim']]
  if (event.event === 'removed')
    return [
      ['  ✓ ', 'good'],
      [`removed ${event.what}`, 'plain'],
    ]
  return [
    ['  ✗ ', 'bad'],
    [`${event.what}: ${event.why}`, 'plain'],
  ]
}
