import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { joinedCommand, ownTimeLimit, stressCommand, undoStress } from './commands.ts'

describe('pod-cpu-hog on', () => {
  it('is this stress-ng', () => {
    expect(stressCommand({ workers: 2, loadPercent: 80, timeoutS: 32 }).join(' ')).toBe(
      'stress-ng --cpu 2 --cpu-load 80 --timeout 32s --keep-name --quiet --temp-path /dev/shm',
    )
  })

  it('joins every cgroup before it becomes the stressor', () => {
    const command = joinedCommand([], ['/a', '/b'], ['stress-ng', '--cpu', '1'])
    expect([command.slice(0, 2), command.slice(3)]).toEqual([
      ['sh', '-c'],
      ['join', '/a', '/b', '--', 'stress-ng', '--cpu', '1'],
    ])
  })

  it('does not become the stressor where it could not join', () => {
    const [program, ...args] = joinedCommand([], ['/nowhere'], ['echo', 'burning'])
    const { status, stdout } = spawnSync(program, args, { encoding: 'utf8' })
    expect([status, stdout]).toEqual([71, ''])
  })

  it('goes through the cgroup namespace of the host where it must', () => {
    const enter = ['nsenter', '-t', '9', '-C', '--']
    expect(joinedCommand(enter, ['/a'], ['x']).slice(0, 6)).toEqual([...enter, 'sh'])
  })

  it.each([
    [1, 2],
    [1000, 2],
    [1500, 3],
    [30_000, 31],
  ])('held for %i ms, ends by itself after %i s', (holdMs, seconds) => {
    expect(ownTimeLimit(holdMs)).toBe(seconds)
  })
})

describe('pod-cpu-hog off', () => {
  it('is this script', () => {
    expect(undoStress(['/sys/fs/cgroup/cpu/a', "/it's"], 'run/task/1/0')).toMatchInlineSnapshot(`
      [
        "left=1; tries=0",
        "while [ "$left" = 1 ] && [ "$tries" -lt 40 ]; do",
        "  left=0; tries=$((tries + 1))",
        "  pids=$(for g in '/sys/fs/cgroup/cpu/a' '/it'\\''s'; do cat "$H$g/cgroup.procs" 2>/dev/null; done | sort -u)",
        "  [ -n "$pids" ] || break",
        "  files=$(for p in $pids; do echo "/proc/$p/environ"; done)",
        "  for f in $(grep -lsxzF 'CHAOSPLANE_MARK=run/task/1/0' $files); do",
        "    p=\${f#/proc/}; kill -9 "\${p%/environ}" 2>/dev/null; left=1",
        "  done",
        "  [ "$left" = 0 ] || [ "$tries" -lt 3 ] || sleep 0.02",
        "done",
        "[ "$left" = 0 ] || exit 1",
      ]
    `)
  })

  it('kills what carries the mark and nothing else in the same cgroup', () => {
    const folder = mkdtempSync(join(tmpdir(), 'undo-'))
    try {
      const start = (mark: string): string =>
        spawnSync('sh', ['-c', 'sleep 30 >/dev/null 2>&1 & echo $!'], {
          encoding: 'utf8',
          env: { PATH: process.env['PATH'], CHAOSPLANE_MARK: mark },
        }).stdout.trim()
      const [ours, other, longer] = [start('run.1'), start('runx1'), start('run.1.more')]
      writeFileSync(join(folder, 'cgroup.procs'), `${ours}\n${other}\n${longer}\n`)
      const alive = (pid: string) => {
        try {
          return /^State:\s[^Z]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
        } catch {
          return false
        }
      }
      const script = undoStress([folder], 'run.1').join('\n')
      expect(spawnSync('sh', ['-c', script]).status).toBe(0)
      expect([ours, other, longer].map(alive)).toEqual([false, true, true])
      expect(spawnSync('sh', ['-c', script]).status).toBe(0)
      for (const pid of [other, longer]) process.kill(Number(pid), 'SIGKILL')
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  })

  it('is content when the cgroup has gone', () => {
    expect(spawnSync('sh', ['-c', undoStress(['/nowhere'], 'm').join('\n')]).status).toBe(0)
  })
})
