import { spawnSync } from 'node:child_process'
import { existsSync, globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { type CrashPoint, crashFile, crashPoints, crashText } from './crash.ts'

const root = join(import.meta.dirname, '..')
const folder = mkdtempSync(join(tmpdir(), 'chaosplane-crash-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** Every use in the source: the point, and whether its statement carries the label. */
const uses = globSync('{lib,operator,runner,server}/**/*.ts', { cwd: root })
  .filter((file) => !/\.test\.ts$|\/testing\/|lib\/crash\.ts$/.test(file))
  .flatMap((file) =>
    readFileSync(join(root, file), 'utf8')
      .split('\n')
      .flatMap((line) => {
        const point = /\b(?:reach|halt)\('([^']+)'/.exec(line)?.[1]
        return point ? [{ file, point, labelled: /^\s*CRASH: /.test(line) }] : []
      }),
  )

describe('crash points', () => {
  it('are in the source, each at one place, and all in the list', () =>
    expect(uses.map(({ point }) => point).sort()).toEqual(Object.keys(crashPoints).sort()))
  it('carry the label that the product leaves out', () =>
    expect(uses.filter(({ labelled }) => !labelled)).toEqual([]))
  it('are looked for under the label alone', () => {
    const calls = globSync('{lib,operator,runner,server}/**/*.ts', { cwd: root })
      .filter((file) => !/\.test\.ts$|\/testing\/|lib\/crash\.ts$/.test(file))
      .flatMap((file) => readFileSync(join(root, file), 'utf8').split('\n'))
      .filter((line) => /\bcrashIn\(/.test(line))
    expect(calls.filter((line) => !/^\s*CRASH: /.test(line))).toEqual([])
    expect(calls.length).toBe(3)
  })
  it('stand in the program whose name they bear', () => {
    const programOf = (file: string) =>
      file.startsWith('runner/fault-pod/') ? 'program' : file.split('/')[0]
    const stray = uses.filter(({ file, point }) => !point.startsWith(`${programOf(file)}/`))
    expect(stray).toEqual([])
  })
})

const script = `
import { crashIn, reach } from ${JSON.stringify(join(import.meta.dirname, 'crash.ts'))}
crashIn(process.argv[1], 'one')
for (const n of [1, 2, 3]) { reach('program/injecting'); console.log(n) }
`
const run = () =>
  spawnSync(process.execPath, ['--input-type=module', '-e', script, folder], { encoding: 'utf8' })
const point: CrashPoint = 'program/injecting'

it('does nothing without an order', () => {
  expect(run()).toMatchObject({ status: 0, stdout: '1\n2\n3\n' })
})
it('kills at the time that the order says, and once', () => {
  const file = crashFile(folder, 'one', point)
  writeFileSync(file, crashText({ how: 'kill', time: 2 }))
  expect(run()).toMatchObject({ signal: 'SIGKILL', stdout: '1\n' })
  expect(existsSync(`${file}.reached`)).toBe(true)
  expect(run()).toMatchObject({ status: 0, stdout: '1\n2\n3\n' })
})
