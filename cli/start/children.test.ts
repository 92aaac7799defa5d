import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { describe, expect, it } from 'vitest'
import { descendants, endChildren, parseStat } from './children.ts'

describe('processes that were started', () => {
  it('are found over generations, and others are not', () => {
    const all = [
      { pid: 1, parent: 0 },
      { pid: 10, parent: 1 },
      { pid: 11, parent: 10 },
      { pid: 12, parent: 11 },
      { pid: 13, parent: 10 },
      { pid: 20, parent: 1 },
    ]
    expect(descendants(all, 10)).toEqual([11, 13, 12])
    expect(descendants(all, 12)).toEqual([])
  })

  it('are read although their name has brackets', () => {
    expect(parseStat('42 (a ) b)) S 7 42 42 0 -1')).toEqual({ pid: 42, parent: 7 })
  })

  it('are ended, with what they started', async () => {
    // The middle shell stands for us: everything below it ends, it itself does not.
    const script = 'sh -c "sleep 60 & wait"; echo ended; read line'
    const shell = spawn('sh', ['-c', `echo up; ${script}`], { stdio: ['pipe', 'pipe', 'ignore'] })
    await once(shell.stdout, 'data')
    const said = once(shell.stdout, 'data')
    let done = false
    void said.then(() => {
      done = true
    })
    while (!done) {
      endChildren(shell.pid ?? 0)
      await new Promise((next) => setTimeout(next, 20))
    }
    expect(String((await said)[0])).toContain('ended')
    expect(shell.exitCode).toBeNull()
    const exited = once(shell, 'exit')
    shell.stdin.end('\n')
    await exited
  })
})
