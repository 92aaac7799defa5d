import { existsSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Unwritten } from './channel.ts'
import { readText } from './host.ts'
import type { World } from './program.ts'

/**
 * Marks in the pod's shared memory, which belongs to its sandbox: programs that are started again in place find them,
 * with or without a journal. Where it has no room the journal alone tells.
 */
export function markIn(place: string, name: string): World['begun'] {
  const file = join(place, name)
  return {
    is: () => existsSync(file),
    mark() {
      put(file, '')
    },
  }
}

/** Events that were told and that no journal has: the runner drops what comes with their numbers again. */
export function unwrittenIn(place: string): Unwritten {
  const file = join(place, 'chaosplane-told')
  return {
    get last() {
      return Number(readText(file) ?? 0)
    },
    note(seq) {
      put(file, String(seq))
    },
  }
}

/** Whole or not at all. */
function put(file: string, text: string): void {
  try {
    writeFileSync(`${file}.draft`, text)
    renameSync(`${file}.draft`, file)
  } catch {
    // no room
  }
}
