import { execFile } from 'node:child_process'
import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, it } from 'vitest'

const root = join(import.meta.dirname, '../..')

/** Files that break the import table on purpose: content, and the rule that must name them. */
const planted: Record<string, [content: string, rule: string]> = {
  'model/reads-clock.ts': ["export { c } from '../lib/clock.ts'", 'model-is-pure'],
  'model/type-of-lib.ts': [
    "import type { C } from '../lib/clock.ts'\nexport type D = C",
    'model-is-pure',
  ],
  'lib/asks-runner.ts': ["export { a } from '../runner/ok.ts'", 'lib-knows-model-only'],
  'server/borrows.ts': [
    "export const f = async () => await import('../runner/ok.ts')",
    'programs-do-not-import-programs',
  ],
  'cli/starts.ts': ["export * from '../runner/main.ts'", 'nobody-imports-a-main'],
  'bench/steers.ts': ["export * from '../operator/ok.ts'", 'nobody-imports-the-operator'],
  'runner/faults/one/index.ts': [
    "export * from '../two/index.ts'",
    'faults-and-probes-stand-alone',
  ],
  'runner/engine/acts.ts': ["export * from '../ok.ts'", 'engine-is-pure'],
  'runner/fault-pod/parses.ts': [
    "export { m } from '../../model/ok.ts'",
    'fault-program-on-node-alone',
  ],
  'runner/faults/one/node.ts': [
    "export { c } from '../../../lib/clock.ts'",
    'fault-program-on-node-alone',
  ],
  'runner/fault-pod/types.ts': [
    "import type { C } from '../../lib/clock.ts'\nexport type D = C",
    'fault-program-types-from-model',
  ],
  'operator/tests-itself.ts': ["export * from '../test-e2e/ok.ts'", 'tests-and-tools-stay-outside'],
  'lib/lost.ts': ["export * from './nowhere.ts'", 'all-resolve'],
}

/** Files that keep to it, and a circle of two. */
const allowed: Record<string, string> = {
  'model/ok.ts': 'export const m = 1\nexport type M = number',
  'lib/clock.ts': 'export const c = 1\nexport type C = number',
  'lib/circle.ts': "import { o } from './circle-two.ts'\nexport const c = () => o",
  'lib/circle-two.ts': "import { c } from './circle.ts'\nexport const o = () => c",
  'runner/ok.ts': "import { m } from '../model/ok.ts'\nexport const a = m",
  'runner/main.ts': "import './ok.ts'",
  'operator/ok.ts': "export { c } from '../lib/clock.ts'",
  'test-e2e/ok.ts': 'export const t = 1',
  'runner/faults/two/index.ts': "export { m } from '../../../model/ok.ts'",
  'runner/fault-pod/ok.ts':
    "import { readFileSync } from 'node:fs'\nimport type { M } from '../../model/ok.ts'\nexport const r = (m: M) => readFileSync(m)",
}

type Violation = { from: string; rule: { name: string } }

let folder: string
let violations: Violation[]

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'chaosplane-imports-'))
  const contents = Object.entries(planted).map(([path, [text]]): [string, string] => [path, text])
  for (const [path, text] of [...contents, ...Object.entries(allowed)]) {
    await mkdir(join(folder, dirname(path)), { recursive: true })
    await writeFile(join(folder, path), `${text}\n`)
  }
  await cp(join(root, '.dependency-cruiser.json'), join(folder, 'rules.json'))
  const program = join(root, 'node_modules/.bin/depcruise')
  const folders = ['model', 'lib', 'operator', 'runner', 'server', 'cli', 'test-e2e', 'bench']
  const args = ['--config', 'rules.json', '--output-type', 'json', ...folders]
  const { stdout } = await promisify(execFile)(program, args, {
    cwd: folder,
    maxBuffer: 16 * 1024 * 1024,
  }).catch((e: { stdout: string }) => e)
  violations = (JSON.parse(stdout) as { summary: { violations: Violation[] } }).summary.violations
})

afterAll(() => rm(folder, { recursive: true, force: true }))

it.each(Object.entries(planted))('sees %s', (path, [, rule]) => {
  const named = violations.filter((v) => v.from === path).map((v) => v.rule.name)
  expect(named).toContain(rule)
})

it.each(Object.keys(allowed).filter((p) => !p.includes('circle')))('lets %s pass', (path) => {
  expect(violations.filter((v) => v.from === path)).toEqual([])
})

it('sees a circle of imports, once', () => {
  expect(violations.filter((v) => v.rule.name === 'no-cycles').length).toBe(1)
})
