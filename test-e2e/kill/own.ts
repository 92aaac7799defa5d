import { readFileSync } from 'node:fs'

const parentOf = (pid: number): number => {
  try {
    // behind the command's name, which may have any characters
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1) ?? ''
    return Number(stat.split(' ')[1])
  } catch {
    return 0
  }
}

/**
 * Counts stressors by the first process of each, look after look. Their workers are not counted, also when their parent
 * has just been killed. What counts was there in two looks one after the other: in one alone, a process may have ended
 * between being listed and being asked for its parent.
 */
export class Roots {
  /** by pid, whether it is a first one, as it was when it was first seen */
  readonly #known = new Map<number, boolean>()
  readonly #parentOf: (pid: number) => number
  #last: readonly number[] = []
  /** at one time, at most */
  most = 0

  constructor(parent = parentOf) {
    this.#parentOf = parent
  }

  note(there: readonly { pid: number }[]): void {
    const pids = there.map(({ pid }) => pid)
    for (const pid of this.#known.keys()) if (!pids.includes(pid)) this.#known.delete(pid)
    for (const pid of pids)
      if (!this.#known.has(pid)) this.#known.set(pid, !pids.includes(this.#parentOf(pid)))
    const roots = pids.filter((pid) => this.#known.get(pid))
    this.most = Math.max(this.most, roots.filter((pid) => this.#last.includes(pid)).length)
    this.#last = roots
  }
}

/** A block of a ruleset as nft lists it: its head, and the lines in it without what counters say. */
type Block = { head: string; lines: string[] }

/** The blocks whose lines begin with so many tabs. */
function blocksIn(lines: readonly string[], depth: number): Block[] {
  const [outer, inner] = ['\t'.repeat(depth), '\t'.repeat(depth + 1)]
  const blocks: Block[] = []
  for (const line of lines) {
    if (line.startsWith(inner)) blocks.at(-1)?.lines.push(line)
    else if (line.startsWith(outer) && line.endsWith(' {'))
      blocks.push({ head: line.trim().replace(/ \{.*/, ''), lines: [] })
  }
  return blocks
}

const withoutCounts = (line: string): string => line.replace(/ packets \d+ bytes \d+/g, '').trim()

/** How often every rule of a table is there at least: what is put into a table twice has each of its rules twice. */
function timesIn({ lines }: Block): number {
  const chains = blocksIn(lines, 1).filter(({ head }) => head.startsWith('chain '))
  const counts = chains.flatMap((chain) => {
    const rules = chain.lines.filter((line) => !/^\t\ttype /.test(line)).map(withoutCounts)
    return rules.map((rule) => rules.filter((other) => other === rule).length)
  })
  return Math.max(1, counts.length > 0 ? Math.min(...counts) : 1)
}

/** Chains of ours that iptables has made in a table, or jumps to them if those are more. */
function chainsIn({ lines }: Block): number {
  const text = lines.join('\n')
  const count = (what: RegExp) => [...text.matchAll(what)].length
  return Math.max(count(/chain chaosplane_/g), count(/jump chaosplane_/g))
}

/**
 * How many injections are in a pod's network, out of what `nft list ruleset` and `tc qdisc show` say. One is a table of
 * its own; or a chain in the tables of iptables, of which there is one for each family; or one netem.
 */
export function injectionsIn(said: string): number {
  const lines = said.split('\n')
  const tables = blocksIn(lines, 0)
  const own = tables.filter(({ head }) => / chaosplane_/.test(head))
  const others = tables.filter((one) => !own.includes(one)).map(chainsIn)
  const netems = lines.filter((line) => line.startsWith('qdisc netem ')).length
  return own.reduce((sum, table) => sum + timesIn(table), 0) + Math.max(0, ...others) + netems
}
