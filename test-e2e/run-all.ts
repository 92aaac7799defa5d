import { spawn } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

type Result = { passed: number; failed: number; skipped: number }

/** The projects in order, cheapest first, each with the minutes after which it is given up. */
const all = [
  { name: 'unit', minutes: 10 },
  { name: 'integration', minutes: 15 },
  { name: 'e2e', minutes: 30 },
  { name: 'vm', minutes: 40 },
]
/** Those that are named, else those that need no virtual machine. */
const named = process.argv.slice(2)
const projects = all.filter(({ name }) => (named.length > 0 ? named.includes(name) : name !== 'vm'))

const root = join(import.meta.dirname, '..')

/** Runs one vitest project; a crash, a time-out or nothing to run counts as one failure. */
async function runProject(project: { name: string; minutes: number }): Promise<Result> {
  const folder = await mkdtemp(join(tmpdir(), 'chaosplane-results-'))
  try {
    const report = join(folder, 'report.json')
    const code = await vitest(project, report)
    const found = await readReport(report)
    const nothing = found.passed + found.failed === 0
    if (nothing) console.log(`${project.name}: no test ran`)
    // A broken file or hook fails vitest without failing a test.
    const unseen = found.failed === 0 && (code !== 0 || nothing)
    return unseen ? { ...found, failed: 1 } : found
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

function vitest(project: { name: string; minutes: number }, report: string): Promise<number> {
  const args = ['run', '--project', project.name, '--reporter=default', '--reporter=json']
  const child = spawn(
    process.execPath,
    [join(root, 'node_modules/vitest/vitest.mjs'), ...args, `--outputFile.json=${report}`],
    { cwd: root, stdio: 'inherit' },
  )
  const giveUp = setTimeout(() => {
    console.log(`${project.name}: not finished after ${project.minutes} minutes, ending it`)
    child.kill('SIGTERM')
    setTimeout(() => child.kill('SIGKILL'), 20_000).unref()
  }, project.minutes * 60_000)
  return new Promise((resolve) => {
    child.once('error', (e) => {
      clearTimeout(giveUp)
      console.log(`${project.name}: vitest did not start: ${e.message}`)
      resolve(1)
    })
    child.once('close', (code) => {
      clearTimeout(giveUp)
      resolve(code ?? 1)
    })
  })
}

async function readReport(file: string): Promise<Result> {
  try {
    const report = JSON.parse(await readFile(file, 'utf8')) as Record<string, number>
    const count = (name: string) => report[name] ?? 0
    const skipped = count('numPendingTests') + count('numTodoTests')
    return { passed: count('numPassedTests'), failed: count('numFailedTests'), skipped }
  } catch {
    // A crash leaves no report.
    return { passed: 0, failed: 0, skipped: 0 }
  }
}

const total: Result = { passed: 0, failed: 0, skipped: 0 }
for (const [i, project] of projects.entries()) {
  console.log(`\n== ${project.name} (${i + 1} of ${projects.length})`)
  const started = performance.now()
  const result = await runProject(project)
  const seconds = Math.round((performance.now() - started) / 1000)
  console.log(`== ${project.name}: ${result.passed} passed, ${result.failed} failed, ${seconds} s`)
  total.passed += result.passed
  total.failed += result.failed
  total.skipped += result.skipped
}
if (total.skipped > 0) console.log(`${total.skipped} skipped`)
console.log(`${total.passed} passed, ${total.failed} failed`)
process.exitCode = total.failed === 0 ? 0 : 1
