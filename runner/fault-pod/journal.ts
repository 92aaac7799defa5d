import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmdirSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import type { NodeEvent } from '../../model/fault-pod.ts'
import type { FoundTarget } from '../faults/node-fault.ts'
import { readText } from './host.ts'

/** One target of one go, as it is written down before anything is done to it. */
export type Planned = { found: FoundTarget; plan: unknown }

/** What is still to be undone: one file per go, removed when all of it is proven to be reverted. */
export type OpenGo = {
  file: string
  fault: string
  /** milliseconds since boot after which the guard undoes it on its own */
  guardAt: number
  planned: Planned[]
}

/** When and why the guard ran an undo file to its end. */
export type GuardNote = { file: string; why: string; at: number }

const planMark = '#plan '

const undoAll = `#!/bin/sh
# Puts everything back that this journal still holds open. Run it as root on the node.
owed=0
for go in "$(dirname "$0")"/go-*.sh; do
  [ ! -e "$go" ] || sh "$go" || owed=1
done
exit $owed
`

/** The undo file: a shell script that a human, the guard or a later program can run, and the plan as a comment. */
export function undoScript(go: Omit<OpenGo, 'file'>, bootId: string, undos: string[][]): string {
  return [
    '#!/bin/sh',
    `# Undoes an injection of ${go.fault}. Safe to run at any time and more than once, as root on the node.`,
    '# H: where the files of the host begin, empty on the host itself.',
    'H=${CHAOSPLANE_HOST-}',
    `[ "$(cat /proc/sys/kernel/random/boot_id)" = '${bootId}' ] || exit 0`,
    'owed=0',
    ...undos.flatMap((lines) => ['(', ...lines, ') || owed=1']),
    'exit $owed',
    `#guard-at ${go.guardAt}`,
    `${planMark}${JSON.stringify(go)}`,
    '',
  ].join('\n')
}

/** The plan in an undo file; null for a torn one, which was never acted upon. */
export function readUndoScript(file: string, text: string): OpenGo | null {
  const line = text.split('\n').find((one) => one.startsWith(planMark))
  if (!line || !text.endsWith('\n')) return null
  try {
    return { ...(JSON.parse(line.slice(planMark.length)) as Omit<OpenGo, 'file'>), file }
  } catch {
    return null
  }
}

/** Lines of JSON; a torn last line (the program was killed while writing) is left out. */
export function parseEvents(text: string): NodeEvent[] {
  return text.split('\n').flatMap((line) => {
    try {
      return line === '' ? [] : [JSON.parse(line) as NodeEvent]
    } catch {
      return []
    }
  })
}

/** `<undo file> <why> <unix seconds>` per line, written by guard.sh. */
export function parseGuardNotes(text: string): GuardNote[] {
  return text.split('\n').flatMap((line) => {
    const [file, why, seconds] = line.split(' ')
    return file && why && seconds ? [{ file, why, at: Math.round(Number(seconds) * 1000) }] : []
  })
}

/** The record on the node's own disk: events, undo files, what the runner has acknowledged. */
export class Journal {
  readonly dir: string
  readonly earlier: NodeEvent[]
  readonly #events: number
  #foldersDurable = false

  /** Makes the folder; throws when the disk does not take it. */
  constructor(dir: string) {
    this.dir = dir
    makeFolder(dir)
    const text = readText(join(dir, 'events.jsonl')) ?? ''
    this.earlier = parseEvents(text)
    this.#events = openSync(join(dir, 'events.jsonl'), 'a', 0o600)
    if (text !== '' && !text.endsWith('\n')) writeSync(this.#events, '\n')
  }

  /** Names the program that looks after this journal: guard.sh tells by it whether it lives. */
  own(pid: number, startTicks: number): void {
    this.#replace('program', `${pid} ${startTicks}\n`)
  }

  get acknowledged(): number {
    return Number(readText(join(this.dir, 'acknowledged')) ?? 0)
  }

  /** Survives a kill of the program; a crash of the node ends what was injected anyway. */
  append(event: NodeEvent): void {
    writeSync(this.#events, `${JSON.stringify(event)}\n`)
  }

  acknowledge(seq: number): void {
    this.#replace('acknowledged', String(seq))
  }

  /** Durable on return: file, folder and the folders made for it are on the disk. */
  open(file: string, script: string): void {
    const fd = openSync(join(this.dir, file), 'wx', 0o700)
    try {
      writeSync(fd, script)
      fsyncSync(fd)
    } finally {
      closeSync(fd)
    }
    if (!this.#foldersDurable) writeFileSync(join(this.dir, 'undo.sh'), undoAll, { mode: 0o700 })
    syncFolder(this.dir)
    if (this.#foldersDurable) return
    // state folder, cluster, node, run, task: whoever made them, guard or we
    for (let at = dirname(this.dir), up = 0; up < 4; at = dirname(at), up++) syncFolder(at)
    this.#foldersDurable = true
  }

  /** All of this go is proven to be reverted. */
  done(file: string): void {
    rmSync(join(this.dir, file), { force: true })
  }

  openGos(): OpenGo[] {
    return readdirSync(this.dir)
      .filter((file) => /^go-\d+\.sh$/.test(file))
      .map((file) => readUndoScript(file, readText(join(this.dir, file)) ?? ''))
      .filter((go) => go !== null)
  }

  guardNotes(): GuardNote[] {
    return parseGuardNotes(readText(join(this.dir, 'guard.log')) ?? '')
  }

  /** Nothing is owed, but the runner has not stored all of it: kept for whoever asks, until it is swept. */
  close(): void {
    this.#replace('closed', '')
  }

  /** Everything is reverted, reported and acknowledged: the node keeps nothing. */
  remove(): void {
    // rmSync ends early and silently when the guard removes its FIFO at the same moment
    for (let left = 5; left > 0 && existsSync(this.dir); left--)
      rmSync(this.dir, { recursive: true, force: true })
    removeEmpty(dirname(this.dir), 4)
  }

  #replace(name: string, text: string): void {
    const fresh = join(this.dir, `.${name}`)
    writeFileSync(fresh, text, { mode: 0o600 })
    renameSync(fresh, join(this.dir, name))
  }
}

/** Another pod that ends may remove an empty parent in between. */
function makeFolder(dir: string): void {
  for (let attempt = 1; ; attempt++) {
    try {
      mkdirSync(dir, { recursive: true, mode: 0o700 })
      return
    } catch (error) {
      if (attempt === 5 || (error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    }
  }
}

function syncFolder(folder: string): void {
  const fd = openSync(folder, 'r')
  try {
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}

/** Removes up to `levels` folders upwards while they are empty. */
export function removeEmpty(folder: string, levels: number): void {
  for (let left = levels, at = folder; left > 0; left--, at = dirname(at)) {
    try {
      if (readdirSync(at).length > 0) return
      rmdirSync(at)
    } catch {
      return
    }
  }
}
