import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { systemClock } from '../lib/clock.ts'
import { stayLean } from '../lib/lean.ts'
import { createLog } from '../lib/log.ts'
import { createApp } from './app.ts'
import { settingsFrom } from './settings.ts'
import { openLogStore } from './store/logs.ts'
import { openRunStore } from './store/runs.ts'

const PRUNE_EVERY_MS = 10 * 60_000
const STOP_WITHIN_MS = 5000

async function main(): Promise<void> {
  const settings = settingsFrom(process.env)
  stayLean()
  const log = createLog({ program: 'server', level: settings.logLevel })
  const { now } = systemClock
  mkdirSync(settings.dataDir, { recursive: true, mode: 0o700 })
  const runs = openRunStore(join(settings.dataDir, 'runs.db'))
  const logs = openLogStore(join(settings.dataDir, 'logs.db'), settings.retention.maxStreamBytes)
  const { accessKey, logServiceToken, maxBodyBytes } = settings
  const app = await createApp({ runs, logs, accessKey, logServiceToken, maxBodyBytes, now, log })

  const prune = (): void => {
    const removed = {
      runs: runs.prune(settings.keepRuns),
      logs: logs.prune(settings.retention, now()),
    }
    if (removed.runs + removed.logs > 0) log.info(removed, 'old runs and logs were removed')
  }
  const timer = setInterval(prune, PRUNE_EVERY_MS)
  const stop = async (signal: NodeJS.Signals): Promise<void> => {
    log.info({ signal }, 'stopping: requests under way are finished')
    clearInterval(timer)
    setTimeout(() => process.exit(1), STOP_WITHIN_MS).unref()
    await app.close()
    runs.close()
    logs.end()
    log.info({}, 'stopped')
  }
  for (const signal of ['SIGTERM', 'SIGINT'] as const)
    process.once(signal, (name) => void stop(name))
  prune()
  await app.listen({ host: settings.host, port: settings.port })
}

main().catch((thrown: unknown) => {
  const reason = thrown instanceof Error ? thrown.message : String(thrown)
  process.stderr.write(`server: ${reason}\n`)
  process.exitCode = 1
})
