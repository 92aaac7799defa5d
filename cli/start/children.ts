import { readdirSync, readFileSync } from 'node:fs'

/** A process as /proc says it. */
export type ProcessLine = { pid: number; parent: number }

/** All below `root`, children before their own children. */
export function descendants(all: readonly ProcessLine[], root: number): number[] {
  const found: number[] = []
  const open = [root]
  for (let parent = open.shift(); parent !== undefined; parent = open.shift()) {
    const below = all.filter((p) => p.parent === parent).map((p) => p.pid)
    found.push(...below)
    open.push(...below)
  }
  return found
}

/** pid and parent out of one /proc/<pid>/stat; the name in it may hold spaces and brackets. */
export function parseStat(stat: string): ProcessLine {
  const afterName = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return { pid: Number.parseInt(stat, 10), parent: Number(afterName[1]) }
}

/** Ends every process that this one has started and that still runs. */
export function endChildren(own: number): void {
  const all = readdirSync('/proc').flatMap((name) => {
    if (!/^\d+$/.test(name)) return []
    try {
      return [parseStat(readFileSync(`/proc/${name}/stat`, 'utf8'))]
    } catch {
      return [] // ended since
    }
  })
  for (const pid of descendants(all, own)) {
    try {
      process.kill(pid, 'SIGKILL')
    } catch {
      // ended since
    }
  }
}
