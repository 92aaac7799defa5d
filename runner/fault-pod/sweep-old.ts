import { closeSync, constants, openSync, readdirSync, rmSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { gravePrefix, removeEmpty } from './journal.ts'

/**
 * Removes closed journals of other runs on this node whose report nobody has fetched within the
 * retention. Open journals are left alone: what they owe belongs to a recovery pod or a human.
 */
export function sweepClosed(own: string, olderThan: number): string[] {
  const nodeFolder = dirname(dirname(own))
  const swept: string[] = []
  for (const run of folders(nodeFolder))
    for (const task of folders(join(nodeFolder, run))) {
      const dir = join(nodeFolder, run, task)
      if (task.startsWith(gravePrefix) && isOlder(dir, olderThan)) {
        rmSync(dir, { recursive: true, force: true })
        removeEmpty(join(nodeFolder, run), 1)
        continue
      }
      const closed = statSync(join(dir, 'closed'), { throwIfNoEntry: false })
      if (dir === own || !closed || closed.mtimeMs > olderThan || guarded(dir)) continue
      if (readdirSync(dir).some((file) => file.startsWith('go-'))) continue
      rmSync(dir, { recursive: true, force: true })
      removeEmpty(join(nodeFolder, run), 1)
      swept.push(dir)
    }
  return swept
}

function folders(of: string): string[] {
  try {
    return readdirSync(of)
  } catch {
    return []
  }
}

const isOlder = (path: string, than: number): boolean =>
  (statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? than) < than

/** A guard that reads its FIFO belongs to a living pod. */
const guarded = (dir: string): boolean =>
  readdirSync(dir)
    .filter((name) => name.startsWith('guard-'))
    .some((name) => isRead(join(dir, name)))

function isRead(fifo: string): boolean {
  try {
    closeSync(openSync(fifo, constants.O_WRONLY | constants.O_NONBLOCK))
    return true
  } catch {
    return false
  }
}
