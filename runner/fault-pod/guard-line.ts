import { closeSync, constants, openSync, writeSync } from 'node:fs'
import { NodeTrouble } from '../faults/node-fault.ts'

/** The program's end of the guard's FIFO: while it is open the guard knows that the program lives. */
export type GuardLine = {
  /** `quit`: nothing is owed any more, and the guard may go */
  tell(word: 'quit'): void
  close(): void
}

/** Opens the FIFO as soon as the guard reads it; throws NodeTrouble when it does not within `limitMs`. */
export async function openGuardLine(path: string, limitMs: number): Promise<GuardLine> {
  const end = performance.now() + limitMs
  while (performance.now() < end) {
    const fd = tryOpen(path)
    if (fd !== null) return lineOf(fd)
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
  throw new NodeTrouble(
    'HELPER_ERROR',
    `The guard container did not open ${path} within ${limitMs / 1000} s: see its log and state in the fault pod. Nothing is held without a guard.`,
  )
}

function tryOpen(path: string): number | null {
  try {
    return openSync(path, constants.O_WRONLY | constants.O_NONBLOCK)
  } catch {
    // not made yet, or nobody reads it yet
    return null
  }
}

function lineOf(fd: number): GuardLine {
  return {
    tell(word) {
      try {
        writeSync(fd, `${word}\n`)
      } catch {
        // the guard was restarted: it reads the undo files when it starts
      }
    },
    close: () => closeSync(fd),
  }
}
