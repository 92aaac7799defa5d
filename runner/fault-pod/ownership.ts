import { linkSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseStat } from './cgroup.ts'
import { bootId, readText } from './host.ts'
import { giveUpReserve, makeFolder } from './journal.ts'

/**
 * Who looks after a journal. Programs of several fault pods may meet at one: the container that kubelet starts again
 * in place, the recovery pod, the next recovery pod. One of them owns it; it alone writes, injects and reverts.
 *
 * Each claim is a file `owner-<n>` that is made whole and only once (a hard link). The highest number counts. A claim
 * ends with the life of its process, known by pid, start time and boot, so nothing has to be given back, and a holder
 * that was killed holds nothing.
 */
export type Owner = {
  pid: number
  startTicks: number
  bootId: string
  /** of its pod; who has a higher one is the one that the runner speaks to */
  attempt: number
}

type Claim = { number: number; owner: Owner }

const lineOf = ({ pid, startTicks, attempt, bootId: boot }: Owner): string =>
  `${pid} ${startTicks} ${attempt} ${boot}\n`

const claimName = /^owner-(\d{8})$/
const nameOf = (number: number): string => `owner-${String(number).padStart(8, '0')}`

function parseOwner(text: string): Owner {
  const [pid, startTicks, attempt, boot = ''] = text.trim().split(' ')
  return {
    pid: Number(pid),
    startTicks: Number(startTicks),
    attempt: Number(attempt),
    bootId: boot,
  }
}

const numbersIn = (dir: string): number[] =>
  readdirSync(dir).flatMap((name) => {
    const match = claimName.exec(name)
    return match ? [Number(match[1])] : []
  })

/** The claim that counts; null when there is none, or no folder. */
function topClaim(dir: string): Claim | null {
  for (;;) {
    let numbers: number[]
    try {
      numbers = numbersIn(dir)
    } catch {
      return null
    }
    if (numbers.length === 0) return null
    const number = Math.max(...numbers)
    const text = readText(join(dir, nameOf(number)))
    // an older claim is removed when a newer one stands
    if (text !== null) return { number, owner: parseOwner(text) }
  }
}

/** True while this very process runs: a reused pid, a zombie and an earlier boot are not it. */
export function lives({ pid, startTicks, bootId: boot }: Owner): boolean {
  if (boot !== bootId()) return false
  const stat = parseStat(readText(`/proc/${pid}/stat`) ?? '')
  return stat?.startTicks === startTicks && stat.state !== 'Z' && stat.state !== 'X'
}

/** Claims the journal unless a living program has it: null when it is ours, else who has it. */
export function tryToOwn(dir: string, me: Owner): Owner | null {
  for (;;) {
    const top = topClaim(dir)
    if (top && lives(top.owner)) return isSame(top.owner, me) ? null : top.owner
    makeFolder(dir)
    const mine = (top?.number ?? 0) + 1
    // false: another one was quicker, an ending guard took the empty folder away, or room was made on the disk
    if (makeClaim(dir, { number: mine, owner: me }) && stands(dir, mine)) return null
  }
}

const isSame = (a: Owner, b: Owner): boolean => a.pid === b.pid && a.startTicks === b.startTicks

function makeClaim(dir: string, { number, owner }: Claim): boolean {
  const draft = join(dir, `.claim-${owner.pid}`)
  try {
    writeFileSync(draft, lineOf(owner), { mode: 0o600 })
    linkSync(draft, join(dir, nameOf(number)))
    return true
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EEXIST' || code === 'ENOENT' || giveUpReserve(dir)) return false
    throw error
  } finally {
    rmSync(draft, { force: true })
  }
}

/** Who was long in claiming may have claimed a number that was used and removed before: a higher one says so. */
function stands(dir: string, mine: number): boolean {
  const top = topClaim(dir)
  if (!top) return false
  if (top.number > mine) {
    rmSync(join(dir, nameOf(mine)), { force: true })
    return false
  }
  for (const number of numbersIn(dir))
    if (number < mine) rmSync(join(dir, nameOf(number)), { force: true })
  return true
}

/** The highest attempt whose program waits for the journal, 0: none. */
export function wantedBy(dir: string): number {
  const text = readText(join(dir, 'wanted'))
  const asker = text === null ? null : parseOwner(text)
  return asker && lives(asker) ? asker.attempt : 0
}

function askFor(dir: string, me: Owner): void {
  if (wantedBy(dir) >= me.attempt) return
  const draft = join(dir, `.wanted-${me.pid}`)
  try {
    writeFileSync(draft, lineOf(me), { mode: 0o600 })
    renameSync(draft, join(dir, 'wanted'))
  } catch {
    // its owner is just removing it, or the disk is full: asked again in a moment
  }
}

const lookMs = 20

/**
 * Waits until the journal is ours. An owner of an earlier pod is asked to leave; it puts back what it holds first.
 * `superseded`: a program of a later pod looks after it, there is nothing to do for us.
 * Throws when the disk does not take the claim.
 */
export async function own(dir: string, me: Owner): Promise<'owned' | 'superseded'> {
  for (;;) {
    const holder = tryToOwn(dir, me)
    if (!holder) return 'owned'
    if (holder.attempt > me.attempt) return 'superseded'
    // not by the look of the folder: its owner may be about to remove it
    while (lives(holder)) {
      if (wantedBy(dir) > me.attempt) return 'superseded'
      if (holder.attempt < me.attempt) askFor(dir, me)
      await new Promise((resolve) => setTimeout(resolve, lookMs))
    }
  }
}
