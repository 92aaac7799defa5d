import {
  closeSync,
  fdatasync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { reach } from '../../lib/crash.ts'
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

/** Room on the disk for the report of what is injected, taken before the act and given up when the disk is full. */
const reserveBytes = 64 * 1024

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
    // biome-ignore lint/suspicious/noTemplateCurlyInString: the shell's own
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

const goFiles = (dir: string): string[] =>
  readdirSync(dir).filter((file) => /^go-\d+\.sh$/.test(file))

const openGosIn = (dir: string): OpenGo[] =>
  goFiles(dir)
    .map((file) => readUndoScript(file, readFileSync(join(dir, file), 'utf8')))
    .filter((go) => go !== null)

/** The node has gone down since something was injected: the last events may never have come to the disk. */
export const hasCrashed = (open: readonly OpenGo[], boot: string): boolean =>
  open.some(({ planned }) => planned.some(({ found }) => found.bootId !== boot))

/** What a journal holds, for who may not write there. */
export type Kept = { earlier: NodeEvent[]; acknowledged: number; open: OpenGo[] }

export const nothingKept: Kept = { earlier: [], acknowledged: 0, open: [] }

/** Throws when it cannot be read. */
export function readJournal(dir: string): Kept {
  try {
    const open = openGosIn(dir)
    const earlier = parseEvents(readText(join(dir, 'events.jsonl')) ?? '')
    return { earlier, acknowledged: Number(readText(join(dir, 'acknowledged')) ?? 0), open }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return nothingKept
    throw error
  }
}

/** False when the disk does not take it: it is full, or has become read-only. */
function attempt(write: () => void): boolean {
  try {
    write()
    return true
  } catch {
    return false
  }
}

/**
 * The record on the node's own disk: events, undo files, what the runner has acknowledged.
 * Only its owner (ownership.ts) may make one: it reads the events once and writes on from there.
 */
export class Journal {
  readonly dir: string
  readonly earlier: NodeEvent[]
  readonly #events: number
  /** the last line is cut off: the next one begins on a line of its own */
  #torn: boolean
  #foldersDurable = false
  #syncing = false
  #unsynced = false

  /** Makes the folder; throws when the disk does not take it. */
  constructor(dir: string) {
    this.dir = dir
    makeFolder(dir)
    const text = readText(join(dir, 'events.jsonl')) ?? ''
    this.earlier = parseEvents(text)
    this.#events = openSync(join(dir, 'events.jsonl'), 'a', 0o600)
    this.#torn = text !== '' && !text.endsWith('\n')
    // it is looked after again
    rmSync(join(dir, 'closed'), { force: true })
  }

  get acknowledged(): number {
    return Number(readText(join(this.dir, 'acknowledged')) ?? 0)
  }

  /**
   * Survives a kill of the program. A crash of the node ends what was injected anyway, but that it was injected is to be
   * known afterwards: it is brought to the disk at once, without anybody waiting for it.
   * A disk that is full does not keep the program from reverting: what it does not take (false) is told, not journalled.
   */
  append(event: NodeEvent): boolean {
    const line = Buffer.from(`${JSON.stringify(event)}\n`)
    const isWritten = this.#write(line) || (giveUpReserve(this.dir) && this.#write(line))
    if (isWritten && event.event === 'injected') this.#sync()
    return isWritten
  }

  /** Many targets are reported in one breath: one is under way at a time, and one more if something came meanwhile. */
  #sync(): void {
    this.#unsynced = true
    if (this.#syncing) return
    this.#syncing = true
    this.#unsynced = false
    // a disk that fails here fails the next write, too
    fdatasync(this.#events, () => {
      this.#syncing = false
      if (this.#unsynced) this.#sync()
    })
  }

  #write(line: Buffer): boolean {
    const bytes = this.#torn ? Buffer.concat([Buffer.from('\n'), line]) : line
    let written = 0
    try {
      written = writeSync(this.#events, bytes)
    } catch {
      // no space left
    }
    this.#torn = written === 0 ? this.#torn : written < bytes.length
    return written === bytes.length
  }

  /** What is not written is told again: no reason to end a hold, nor to take the room of the report. */
  acknowledge(seq: number): void {
    attempt(() => this.#replace('acknowledged', String(seq)))
  }

  /** Durable on return: file, folder and the folders made for it are on the disk, and there is room for the report. */
  open(file: string, script: string): void {
    writeFileSync(join(this.dir, reserveName), Buffer.alloc(reserveBytes, ' '), { mode: 0o600 })
    const fd = openSync(join(this.dir, file), 'wx', 0o700)
    try {
      CRASH: reach('program/record-begun')
      // all of it or an error: a short write would cut off the undo of the last targets
      writeFileSync(fd, script)
      CRASH: reach('program/record-written')
      fsyncSync(fd)
    } finally {
      closeSync(fd)
    }
    CRASH: reach('program/record-synced')
    if (!this.#foldersDurable) writeFileSync(join(this.dir, 'undo.sh'), undoAll, { mode: 0o700 })
    syncFolder(this.dir)
    if (this.#foldersDurable) return
    // state folder, cluster, node, run, task: whoever made them, guard or we
    for (let at = dirname(this.dir), up = 0; up < 4; at = dirname(at), up++) syncFolder(at)
    this.#foldersDurable = true
  }

  hasCrashed(boot: string): boolean {
    return hasCrashed(this.openGos(), boot)
  }

  /** All of this go is proven to be reverted. A disk that does not let go of the file has it undone once more. */
  done(file: string): void {
    attempt(() => rmSync(join(this.dir, file), { force: true }))
    if (!this.#goFiles().length) giveUpReserve(this.dir)
  }

  #goFiles(): string[] {
    return goFiles(this.dir)
  }

  openGos(): OpenGo[] {
    return openGosIn(this.dir)
  }

  guardNotes(): GuardNote[] {
    return parseGuardNotes(readText(join(this.dir, 'guard.log')) ?? '')
  }

  /**
   * What the guard has said of an undo file: that it has run it, else that it has begun. It notes the end some moments
   * after the effect is over, which a program that looks meanwhile must not take for the deed of somebody else.
   */
  guardWord(file: string): GuardNote | undefined {
    const isOf = (note: GuardNote) => note.file === file
    return this.guardNotes().find(isOf) ?? this.guardBeginnings().find(isOf)
  }

  /** When the guard first began to run each undo file: it may have been killed before it noted the end. */
  guardBeginnings(): GuardNote[] {
    return parseGuardNotes(readText(join(this.dir, 'guard-begun.log')) ?? '')
  }

  /** Nothing is owed, but the runner has not stored all of it: kept for whoever asks, until it is swept. */
  close(): void {
    const note = () => attempt(() => this.#replace('closed', ''))
    if (!note() && giveUpReserve(this.dir)) note()
  }

  /**
   * Everything is reverted, reported and acknowledged: the node keeps nothing.
   * Renamed first: the program of another pod that waits for us makes its own under this name.
   */
  remove(): void {
    const grave = join(dirname(this.dir), `${gravePrefix}${process.pid}-${basename(this.dir)}`)
    try {
      renameSync(this.dir, grave)
      rmSync(grave, { recursive: true, force: true })
    } catch {
      // it is empty of all that counts: the next sweep takes it
    }
    removeEmpty(dirname(this.dir), 4)
  }

  #replace(name: string, text: string): void {
    const fresh = join(this.dir, `.${name}`)
    writeFileSync(fresh, text, { mode: 0o600 })
    renameSync(fresh, join(this.dir, name))
  }
}

const reserveName = 'reserve'
/** What is left of a journal while it is being removed. */
export const gravePrefix = '.gone-'

/** Frees the room that was kept for the report; false when there is none left. */
export function giveUpReserve(dir: string): boolean {
  try {
    unlinkSync(join(dir, reserveName))
    return true
  } catch {
    return false
  }
}

/** Another pod that ends may remove an empty parent in between. */
export function makeFolder(dir: string): void {
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
