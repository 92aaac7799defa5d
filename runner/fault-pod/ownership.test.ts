import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { parseStat } from './cgroup.ts'
import { bootId, readText } from './host.ts'
import { lives, type Owner, own, tryToOwn } from './ownership.ts'
import { exitOf, until } from './testing/pod.ts'

let folder = ''
const children: ChildProcess[] = []
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'ownership-'))
})
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL')
  rmSync(folder, { recursive: true, force: true })
})

const ownerOf = (pid: number, attempt = 1): Owner => {
  const startTicks = parseStat(readText(`/proc/${pid}/stat`) ?? '')?.startTicks ?? 0
  return { pid, startTicks, bootId: bootId(), attempt }
}
function sleeper(): ChildProcess & { pid: number } {
  const child = spawn('sleep', ['60'], { stdio: 'ignore' })
  children.push(child)
  return child as ChildProcess & { pid: number }
}
const claims = (): string[] => readdirSync(folder).filter((name) => name.startsWith('owner-'))

describe('a journal', () => {
  it('belongs to whoever claims it, until his process has gone', async () => {
    const first = sleeper()
    const [one, two] = [ownerOf(first.pid), ownerOf(process.pid)]
    expect(tryToOwn(folder, one)).toBeNull()
    expect(tryToOwn(folder, one)).toBeNull()
    expect(tryToOwn(folder, two)).toEqual(one)
    first.kill('SIGKILL')
    await exitOf(first)
    expect(tryToOwn(folder, two)).toBeNull()
    expect(claims()).toEqual(['owner-00000002'])
  })

  it.each<[string, (owner: Owner) => Owner]>([
    ['a reused pid', (owner) => ({ ...owner, startTicks: owner.startTicks - 1 })],
    ['an earlier boot', (owner) => ({ ...owner, bootId: 'earlier' })],
  ])('is not held by %s', (_, forge) => {
    const stranger = forge(ownerOf(sleeper().pid))
    const { pid, startTicks, attempt, bootId: boot } = stranger
    writeFileSync(join(folder, 'owner-00000007'), `${pid} ${startTicks} ${attempt} ${boot}\n`)
    expect(lives(stranger)).toBe(false)
    expect(tryToOwn(folder, ownerOf(process.pid))).toBeNull()
    expect(claims()).toEqual(['owner-00000008'])
  })

  it('of a later pod is left to it at once', async () => {
    tryToOwn(folder, ownerOf(sleeper().pid, 3))
    expect(await own(folder, ownerOf(process.pid, 2))).toBe('superseded')
  })

  it('of an earlier pod is asked for', async () => {
    const first = sleeper()
    tryToOwn(folder, ownerOf(first.pid, 1))
    const owned = own(folder, ownerOf(process.pid, 2))
    await until(2000, () => readText(join(folder, 'wanted'))?.startsWith(`${process.pid} `))
    first.kill('SIGKILL')
    expect(await owned).toBe('owned')
  })

  it('that its owner removes is waited for until he has gone', async () => {
    const first = sleeper()
    tryToOwn(folder, ownerOf(first.pid, 1))
    let is = 'waiting'
    const owned = own(folder, ownerOf(process.pid, 2)).then((how) => {
      is = how
    })
    await sleep(60)
    rmSync(folder, { recursive: true, force: true })
    await sleep(100)
    expect(is).toBe('waiting')
    first.kill('SIGKILL')
    await owned
    expect(claims()).toEqual(['owner-00000001'])
  })
})

/** Owns the journal for a moment, and writes down whom it met there. */
const contender = `
const { readdirSync, writeFileSync, appendFileSync, rmSync, readFileSync } = require('node:fs')
const [file, dir, met] = process.argv.slice(1)
const { own } = await import(file)
const stat = readFileSync('/proc/self/stat', 'utf8')
const startTicks = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19])
const bootId = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
const how = await own(dir, { pid: process.pid, startTicks, bootId, attempt: 1 })
const alive = (pid) => { try { return !/\\) [ZX] /.test(readFileSync('/proc/' + pid + '/stat', 'utf8')) } catch { return false } }
const others = readdirSync(met).filter((name) => name.startsWith('in-') && alive(name.slice(3)))
if (others.length > 0) appendFileSync(met + '/collisions', others.join() + '\\n')
writeFileSync(met + '/in-' + process.pid, how)
setTimeout(() => { rmSync(met + '/in-' + process.pid); process.exit(0) }, 15)
`

it('never belongs to two of many that want it at once, some of which are killed', async () => {
  const [dir, met] = [join(folder, 'journal'), join(folder, 'met')]
  mkdirSync(met)
  const file = join(import.meta.dirname, 'ownership.ts')
  const flags = [
    '--input-type=module',
    '-e',
    `import { createRequire } from 'node:module'
const require = createRequire(import.meta.url)
${contender}`,
  ]
  const run = (): ChildProcess => {
    const child = spawn(process.execPath, [...flags, file, dir, met], { stdio: 'pipe' })
    children.push(child)
    return child
  }
  const all = Array.from({ length: 24 }, run)
  let killed = 0
  const ended = Promise.all(all.map((child) => exitOf(child, 60_000)))
  const names = () => readdirSync(met).filter((name) => name.startsWith('in-'))
  while (all.some(({ exitCode, signalCode }) => exitCode === null && signalCode === null)) {
    await sleep(40)
    const owner = names().find((name) => lives(ownerOf(Number(name.slice(3)))))
    if (!owner || killed === 6) continue
    try {
      process.kill(Number(owner.slice(3)), 'SIGKILL')
      killed++
    } catch {
      // gone already
    }
  }
  const codes = await ended
  expect(killed).toBeGreaterThan(0)
  expect(codes.filter((code) => code !== 0 && code !== null)).toEqual([])
  expect(readText(join(met, 'collisions'))).toBeNull()
  expect(readFileSync(join(dir, claimsIn(dir)[0] ?? ''), 'utf8')).toMatch(/^\d+ \d+ 1 /)
  expect(claimsIn(dir).length).toBe(1)
}, 90_000)

const claimsIn = (dir: string): string[] =>
  readdirSync(dir).filter((name) => name.startsWith('owner-'))
