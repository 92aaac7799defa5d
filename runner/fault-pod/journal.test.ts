import { spawnSync } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { NodeEvent, NodeLine } from '../../model/fault-pod.ts'
import { Channel } from './channel.ts'
import { Journal, parseEvents, parseGuardNotes, readUndoScript, undoScript } from './journal.ts'
import { sweepClosed } from './sweep-old.ts'

let disk = ''
let folder = ''
beforeEach(() => {
  disk = mkdtempSync(join(tmpdir(), 'journal-'))
  folder = join(disk, 'state/cluster/node/run/task')
})
afterEach(() => rmSync(disk, { recursive: true, force: true }))

const go = { fault: 'pod-cpu-hog', guardAt: 1234, planned: [] }
const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()

describe('the undo file', () => {
  const run = (bootId: string, undos: string[][]) => {
    const file = join(disk, 'undo')
    writeFileSync(file, undoScript(go, bootId, undos))
    return spawnSync('sh', [file], { encoding: 'utf8' })
  }

  it('undoes every target, also behind one that fails, and then says that something is left', () => {
    const { status, stdout } = run(boot, [['echo one', 'exit 1'], ['echo two']])
    expect([status, stdout]).toEqual([1, 'one\ntwo\n'])
  })

  it('does nothing after another boot', () => {
    const { status, stdout } = run('another', [['echo one']])
    expect([status, stdout]).toEqual([0, ''])
  })

  it('holds the plan, and a torn one is no plan', () => {
    const text = undoScript(go, boot, [])
    expect(readUndoScript('go-1.sh', text)).toEqual({ ...go, file: 'go-1.sh' })
    for (let cut = 1; cut < text.length; cut += 7)
      expect(readUndoScript('go-1.sh', text.slice(0, -cut))).toBeNull()
  })
})

describe('the journal', () => {
  const event = (seq: number) => ({ seq, at: 1, event: 'log', level: 'info', text: 'x' }) as const

  it('gives its events and open undo files to the next program', () => {
    const first = new Journal(folder)
    first.append(event(1))
    first.open('go-7.sh', undoScript(go, boot, []))
    first.acknowledge(1)
    const next = new Journal(folder)
    expect(next.earlier).toEqual([event(1)])
    expect(next.openGos().map(({ file }) => file)).toEqual(['go-7.sh'])
    expect(next.acknowledged).toBe(1)
    next.done('go-7.sh')
    expect(new Journal(folder).openGos()).toEqual([])
  })

  it('leaves out a line that was cut off, and writes the next one behind it whole', () => {
    const first = new Journal(folder)
    first.append(event(1))
    writeFileSync(join(folder, 'events.jsonl'), '{"seq":2,', { flag: 'a' })
    new Journal(folder).append(event(2))
    expect(new Journal(folder).earlier.map(({ seq }) => seq)).toEqual([1, 2])
  })

  it('never writes over an undo file', () => {
    const journal = new Journal(folder)
    journal.open('go-7.sh', 'x')
    expect(() => journal.open('go-7.sh', 'y')).toThrow(/EEXIST/)
  })

  it('has one script for a human that runs all of them', () => {
    const journal = new Journal(folder)
    journal.open('go-1.sh', undoScript(go, boot, [['echo one']]))
    journal.open('go-2.sh', undoScript(go, boot, [['echo two']]))
    const { stdout, status } = spawnSync('sh', [join(folder, 'undo.sh')], { encoding: 'utf8' })
    expect([status, stdout]).toEqual([0, 'one\ntwo\n'])
  })

  it('leaves no folder behind', () => {
    new Journal(folder).remove()
    expect(existsSync(join(disk, 'state'))).toBe(false)
    expect(existsSync(disk)).toBe(true)
  })

  it('refuses where the disk does not take it', () => {
    writeFileSync(join(disk, 'state'), '')
    expect(() => new Journal(folder)).toThrow(/ENOTDIR/)
  })
})

it('the notes of the guard', () => {
  expect(parseGuardNotes('go-1.sh eof 1700000000.123456789\nbroken\n')).toEqual([
    { file: 'go-1.sh', why: 'eof', at: 1700000000123 },
  ])
})

it('of the guard its note counts, and until that is there the one of its beginning', () => {
  const journal = new Journal(folder)
  const say = (name: string, text: string) => writeFileSync(join(journal.dir, name), text)
  expect(journal.guardWord('go-1.sh')).toBeUndefined()
  say('guard-begun.log', 'go-1.sh deadline 1700000000.0\ngo-2.sh eof 1700000009.0\n')
  expect(journal.guardWord('go-1.sh')).toMatchObject({ why: 'deadline', at: 1700000000000 })
  say('guard.log', 'go-1.sh deadline 1700000000.2\n')
  expect(journal.guardWord('go-1.sh')).toMatchObject({ why: 'deadline', at: 1700000000200 })
})

it('events are numbered on over a restart, and told again behind what was acknowledged', () => {
  const printed: unknown[] = []
  const earlier = parseEvents('{"seq":4,"at":1,"event":"log","level":"info","text":"a"}\n{"se')
  const store = { earlier, acknowledged: 2, append: () => true, acknowledge() {} }
  const ends = { print: (line: unknown) => printed.push(line), now: () => 9 }
  const channel = new Channel(store, { ...ends, after: 0 })
  channel.emit({ event: 'log', level: 'info', text: 'b' })
  expect(printed.splice(0)).toEqual([{ seq: 5, at: 9, event: 'log', level: 'info', text: 'b' }])
  channel.hello(4)
  expect(printed).toEqual([
    { hello: 1, last: 5, now: 9 },
    { seq: 5, at: 9, event: 'log', level: 'info', text: 'b' },
  ])
  expect(channel.allAcknowledged).toBe(false)
  channel.ack(5)
  expect(channel.allAcknowledged).toBe(true)
  const lost = { ...store, earlier: [], acknowledged: 0 }
  const fresh = new Channel(lost, { ...ends, after: 12 })
  expect(fresh.emit({ event: 'log', level: 'info', text: 'c' }).seq).toBe(13)
})

describe('a runner that knows more than the journal', () => {
  const log = (text: string) => ({ event: 'log', level: 'info', text }) as const
  /** Told 1 and 2 by programs before this one; it tells b and c. */
  function begun() {
    const [printed, written]: [NodeLine[], NodeEvent[]] = [[], []]
    const earlier: NodeEvent[] = [1, 2].map((seq) => ({ seq, at: 1, ...log('a') }))
    const append = (event: NodeEvent) => written.push(event) > 0
    const store = { earlier, acknowledged: 1, append, acknowledge() {} }
    const print = (line: NodeLine) => void printed.push(line)
    const channel = new Channel(store, { print, now: () => 5, after: 0 })
    channel.emit(log('b'))
    channel.emit(log('c'))
    const answer = (acknowledged: number) => {
      printed.length = 0
      channel.hello(acknowledged)
      return printed.slice(1).map((line) => ('seq' in line && 'text' in line ? line : null))
    }
    return { channel, written, answer }
  }

  it('is told above that what it would take for known, with the times that it had', () => {
    const { channel, written, answer } = begun()
    const told = [4, 5].map((n) => ({ seq: n, at: 5, ...log(n === 4 ? 'b' : 'c') }))
    // 3 was told by a program whose journal was lost
    expect(answer(3)).toEqual(told.map((event) => ({ ...event, seq: event.seq + 1 })))
    expect(written.slice(2).map(({ seq }) => seq)).toEqual([5, 6])
    expect(channel.emit(log('d')).seq).toBe(7)
    expect(answer(6)).toMatchObject([{ seq: 7, text: 'd' }])
    expect(channel.allAcknowledged).toBe(false)
    expect(answer(7)).toEqual([])
    expect(channel.allAcknowledged).toBe(true)
  })

  it('or does not, is told nothing twice', () => {
    const { written, answer } = begun()
    expect(answer(2)).toMatchObject([{ seq: 3 }, { seq: 4 }])
    expect(answer(3)).toMatchObject([{ seq: 4 }])
    expect(answer(4)).toEqual([])
    expect(written.length).toBe(2)
    expect(answer(9)).toEqual([])
  })
})

describe('journals of other runs', () => {
  const old = (name: string, files: string[]): string => {
    const dir = join(disk, 'state/cluster/node', name, 'task')
    mkdirSync(dir, { recursive: true })
    for (const file of files) {
      writeFileSync(join(dir, file), '')
      utimesSync(join(dir, file), 1, 1)
    }
    return dir
  }

  it('are swept when closed and old, never when something may be open', () => {
    const closed = old('a', ['closed', 'events.jsonl'])
    const owed = old('b', ['closed', 'go-1.sh'])
    const living = old('c', ['events.jsonl'])
    const own = old('run', ['closed'])
    expect(sweepClosed(own, 5000)).toEqual([closed])
    expect([closed, owed, living, own].map((dir) => existsSync(dir))).toEqual([
      false,
      true,
      true,
      true,
    ])
    expect(sweepClosed(own, 0)).toEqual([])
  })
})
