import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { crashPoints } from '../../lib/crash.ts'
import { bundle } from './bundle.ts'

const folder = mkdtempSync(join(tmpdir(), 'chaosplane-bundle-'))
const [product, test] = [join(folder, 'product'), join(folder, 'test')]
const names = Object.keys(crashPoints)

beforeAll(async () => {
  await bundle(product)
  await bundle(test, { crash: true })
}, 120_000)
afterAll(() => rmSync(folder, { recursive: true, force: true }))

it('leaves every crash point out of the product', () => {
  const marks = [...names, 'chaosplane-crash', 'CHAOSPLANE_CRASH']
  for (const file of readdirSync(product)) {
    const text = readFileSync(join(product, file), 'utf8')
    expect(
      marks.filter((mark) => text.includes(mark)),
      file,
    ).toEqual([])
  }
})

it('keeps every one of them for the tests, each in its program', () => {
  const textOf = (file: string) => readFileSync(join(test, file), 'utf8')
  const texts: Record<string, string> = {
    program: textOf('fault-pod.cjs'),
    runner: textOf('runner.cjs'),
    operator: textOf('operator.cjs'),
  }
  const missing = names.filter((name) => !texts[name.split('/')[0] ?? '']?.includes(name))
  expect(missing).toEqual([])
})
