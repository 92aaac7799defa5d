import { spawn } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'

type Result = { passed: number; failed: number; skipped: number }

/** The minutes after which a project of vitest.config.ts is given up. */
const minutes = { unit: 10, integration: 30, e2e: 30, kill: 130, vm: 40 }
type Name = keyof typeof minutes

/** Projects that run side by side. */
type Stage = Name[]

/**
 * One stage after the other, cheapest first. Unit tests use every core; the others mostly wait, for what
 * clusters do in their own time.
 */
const whole: Stage[] = [['unit'], ['integration', 'e2e']]
const named = process.argv.slice(2)
const stages: Stage[] = named.length > 0 ? named.map((word) => [nameOf(word)]) : whole

const root = join(import.meta.dirname, '..')

/** Memory and disk for CPU time: less garbage collection in what is written in Go, and no code compiled twice by Node. */
const cheaper = { GOGC: '400', NODE_COMPILE_CACHE: join(root, 'node_modules/.cache/node-compile') }

function nameOf(word: string): Name {
  if (Object.hasOwn(minutes, word)) return word as Name
  console.error(`no project ${word}: there are ${Object.keys(minutes).join(', ')}`)
  process.exit(2)
}

/** Runs one vitest project; a crash, a time-out or nothing to run counts as one failure. */
async function runProject(name: Name): Promise<Result> {
  const folder = await mkdtemp(join(tmpdir(), 'chaosplane-results-'))
  try {
    const report = join(folder, 'report.json')
    const code = await vitest(name, report)
    const found = await readReport(report)
    const nothing = found.passed + found.failed === 0
    if (nothing) console.log(`${name}: no test ran`)
    // A broken file or hook fails vitest without failing a test.
    const unseen = found.failed === 0 && (code !== 0 || nothing)
    return unseen ? { ...found, failed: 1 } : found
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** Every line carries the name of its project: two may be talking. */
async function tell(name: Name, stream: Readable): Promise<void> {
  for await (const line of createInterface({ input: stream })) console.log(`${name}  ${line}`)
}

async function vitest(name: Name, report: string): Promise<number> {
  const args = ['run', '--project', name, '--reporter=default', '--reporter=json']
  const child = spawn(
    process.execPath,
    [join(root, 'node_modules/vitest/vitest.mjs'), ...args, `--outputFile.json=${report}`],
    {
      cwd: root,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        ...cheaper,
        ...process.env,
        // the whole matrix writes its page
        ...(name === 'kill' ? { CHAOSPLANE_KILL_PAGE: 'yes' } : {}),
      },
    },
  )
  const told = Promise.all([tell(name, child.stdout), tell(name, child.stderr)])
  const giveUp = setTimeout(() => {
    console.log(`${name}: not finished after ${minutes[name]} minutes, ending it`)
    child.kill('SIGTERM')
    setTimeout(() => child.kill('SIGKILL'), 20_000).unref()
  }, minutes[name] * 60_000)
  const code = await new Promise<number>((resolve) => {
    child.once('error', (e) => {
      console.log(`${name}: vitest did not start: ${e.message}`)
      resolve(1)
    })
    child.once('exit', (code) => resolve(code ?? 1))
  })
  clearTimeout(giveUp)
  // A process that vitest has left behind may hold the pipes open: the lines of vitest itself are here by then.
  await Promise.race([told, new Promise((resolve) => setTimeout(resolve, 2000).unref())])
  return code
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
const lines: string[] = []

async function runAndTell(name: Name): Promise<void> {
  console.log(`\n== ${name} begins`)
  const started = performance.now()
  const result = await runProject(name)
  const seconds = Math.round((performance.now() - started) / 1000)
  const line = `== ${name}: ${result.passed} passed, ${result.failed} failed, ${seconds} s`
  lines.push(line)
  console.log(line)
  total.passed += result.passed
  total.failed += result.failed
  total.skipped += result.skipped
}

const started = performance.now()
for (const stage of stages) await Promise.all(stage.map(runAndTell))
const seconds = Math.round((performance.now() - started) / 1000)
console.log(`\n${lines.join('\n')}\nin ${seconds} s`)
if (total.skipped > 0) console.log(`${total.skipped} skipped`)
console.log(`${total.passed} passed, ${total.failed} failed`)
process.exitCode = total.failed === 0 ? 0 : 1
// Pipes that a left process holds open must not keep this one.
setImmediate(() => process.exit())
