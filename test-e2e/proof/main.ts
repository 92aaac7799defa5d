import { spawn } from 'node:child_process'
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { run } from '../cluster/shell.ts'
import { features } from './all.ts'
import type { Edit, Feature } from './features.ts'
import { pageOf, type Row } from './page.ts'

const root = join(import.meta.dirname, '../..')
const limitMs = 15 * 60_000

type Outcome = { title: string; seen: 'failed' | 'passed' | 'not run'; why: string }

/** A copy of what git knows of the working tree, with the packages of this one. */
async function copyOfSource(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'chaosplane-proof-'))
  const listed = await run('git', [
    ...['-C', root, 'ls-files', '--cached', '--others', '--exclude-standard', '-z'],
  ])
  for (const file of listed.split('\0').filter(Boolean))
    await cp(join(root, file), join(folder, file)).catch((e: NodeJS.ErrnoException) => {
      // deleted, and not committed yet
      if (e.code !== 'ENOENT') throw e
    })
  await symlink(join(root, 'node_modules'), join(folder, 'node_modules'))
  return folder
}

/** Takes the feature out; a place that is not there exactly once has moved, and the table must follow. */
async function switchOff(folder: string, { file, from, to }: Edit): Promise<void> {
  const path = join(folder, file)
  const text = await readFile(path, 'utf8')
  if (text.split(from).length !== 2)
    throw new Error(
      `${file} does not have this exactly once; adapt test-e2e/proof/features.ts:\n${from}`,
    )
  await writeFile(
    path,
    text.replace(from, () => to),
  )
}

/** Runs the named stories in the copy, without a second try. */
function runStories(folder: string, { stories }: Feature): Promise<void> {
  const escaped = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
  const titles = stories.flatMap((s) => s.titles.map(escaped)).join('|')
  const files = stories.map(({ file }) => `test-e2e/stories/${file}.story.test.ts`)
  const args = [
    'run',
    '--project',
    'e2e',
    ...files,
    '-t',
    `(${titles})$`,
    '--retry=0',
    '--maxWorkers=1',
  ]
  const report = ['--reporter=json', `--outputFile.json=${join(folder, 'report.json')}`]
  const vitest = join(folder, 'node_modules/vitest/vitest.mjs')
  const child = spawn(process.execPath, [vitest, ...args, ...report], {
    cwd: folder,
    stdio: ['ignore', 'ignore', 'ignore'],
    timeout: limitMs,
  })
  return new Promise((done) => child.once('close', () => done()))
}

type Report = {
  testResults: {
    assertionResults: { title: string; status: string; failureMessages?: string[] }[]
  }[]
}

async function outcomesOf(folder: string, { stories }: Feature): Promise<Outcome[]> {
  const text = await readFile(join(folder, 'report.json'), 'utf8').catch(() => null)
  const report: Report = text ? JSON.parse(text) : { testResults: [] }
  const results = report.testResults.flatMap((file) => file.assertionResults)
  return stories
    .flatMap(({ titles }) => titles)
    .map((title) => {
      const result = results.find((r) => r.title === title)
      const why = (result?.failureMessages?.[0] ?? '').split('\n')[0] ?? ''
      if (result?.status === 'failed') return { title, seen: 'failed', why }
      return { title, seen: result?.status === 'passed' ? 'passed' : 'not run', why }
    })
}

/** Switches one feature off and runs its stories. */
async function prove(feature: Feature): Promise<Outcome[]> {
  const folder = await copyOfSource()
  try {
    for (const edit of feature.edits) await switchOff(folder, edit)
    await runStories(folder, feature)
    return await outcomesOf(folder, feature)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

const wanted = process.argv.slice(2)
const chosen = features.filter(({ name }) => wanted.length === 0 || wanted.includes(name))
if (chosen.length === 0) {
  console.error(`no such feature; these are known:\n${features.map((f) => f.name).join('\n')}`)
  process.exit(2)
}
let unproven = 0
const rows: Row[] = []
const started = performance.now()
for (const [i, feature] of chosen.entries()) {
  const seconds = Math.round((performance.now() - started) / 1000)
  console.log(
    `\n${i + 1} of ${chosen.length}, ${seconds} s: without "${feature.name}" ${feature.without}`,
  )
  for (const { title, seen, why } of await prove(feature)) {
    if (seen !== 'failed') unproven++
    rows.push({ feature: feature.name, without: feature.without, title, why })
    console.log(`  ${seen === 'failed' ? 'fails, as it must' : `NOT PROVEN (${seen})`}: ${title}`)
    if (why) console.log(`    ${why.slice(0, 300)}`)
  }
}
console.log(`\n${chosen.length} features switched off; ${unproven} stories did not notice`)
if (unproven === 0 && chosen.length === features.length) {
  await writeFile(join(root, 'docs/proof.md'), pageOf(rows))
  console.log('docs/proof.md tells it')
}
process.exitCode = unproven === 0 ? 0 : 1
