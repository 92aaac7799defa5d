import type { Command } from '../node-fault.ts'
import { shellQuote } from '../shell-quote.ts'

export type Stress = {
  workers: number
  loadPercent: number
  /** after this stress-ng ends by itself, whatever became of the program that started it */
  timeoutS: number
}

/**
 * stress-ng keeps its process names: without `--keep-name` it overwrites the environment of its
 * workers, and with it the mark by which they are known as ours.
 */
export const stressCommand = (stress: Stress): Command => [
  'stress-ng',
  '--cpu',
  String(stress.workers),
  '--cpu-load',
  String(stress.loadPercent),
  '--timeout',
  `${stress.timeoutS}s`,
  '--keep-name',
  '--quiet',
  // it insists on a folder that it may write to; this one is there under a read-only root, too
  '--temp-path',
  '/dev/shm',
]

// `0` is the writer itself: the shell has moved before it becomes the stressor, which so never burns outside
const join =
  'while [ "$1" != -- ]; do echo 0 >"$1/cgroup.procs" || exit 71; shift; done; shift; exec "$@"'

/** The command that moves itself into the cgroups and then becomes `inner`. */
export const joinedCommand = (
  enter: readonly string[],
  cgroups: readonly string[],
  inner: Command,
): Command => {
  const [program, ...args] = [...enter, 'sh', '-c', join, 'join', ...cgroups, '--', ...inner]
  return [program ?? 'sh', ...args]
}

/** Whole seconds, at least half a second beyond the latest end of the hold and at most 2 s beyond it. */
export const ownTimeLimit = (holdMs: number): number => Math.ceil((holdMs + 1000) / 1000)

/**
 * Kills what carries the mark in these cgroups until nothing does. The cgroup bounds the search
 * and the mark decides: a process of the target, or one that got a reused pid, is never hit.
 */
export const undoStress = (cgroups: readonly string[], mark: string): string[] => [
  `left=1; tries=0`,
  `while [ "$left" = 1 ] && [ "$tries" -lt 40 ]; do`,
  `  left=0; tries=$((tries + 1))`,
  `  pids=$(for g in ${cgroups.map(shellQuote).join(' ')}; do cat "$H$g/cgroup.procs" 2>/dev/null; done | sort -u)`,
  `  [ -n "$pids" ] || break`,
  `  files=$(for p in $pids; do echo "/proc/$p/environ"; done)`,
  `  for f in $(grep -lsxzF ${shellQuote(`CHAOSPLANE_MARK=${mark}`)} $files); do`,
  `    p=\${f#/proc/}; kill -9 "\${p%/environ}" 2>/dev/null; left=1`,
  `  done`,
  `  [ "$left" = 0 ] || [ "$tries" -lt 3 ] || sleep 0.02`,
  `done`,
  `[ "$left" = 0 ] || exit 1`,
]
