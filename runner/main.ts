import { randomUUID } from 'node:crypto'
import { createServer } from 'node:http'
import { crashIn } from '../lib/crash.ts'
import { loadKubeConfig } from '../lib/kube/config.ts'
import { stayLean } from '../lib/lean.ts'
import { createLog } from '../lib/log.ts'
import { runRunner } from './program.ts'
import { settingsFrom } from './settings.ts'

async function main(): Promise<void> {
  const settings = settingsFrom(process.env)
  CRASH: crashIn(`${settings.spillDir}/crash`, '')
  stayLean()
  const log = createLog({ program: 'runner', level: settings.logLevel })
  const config = loadKubeConfig({
    env: process.env,
    ...(settings.kubeconfig ? { file: settings.kubeconfig } : {}),
  })

  let ready = false
  const health = createServer((request, response) => {
    const ok = request.url === '/healthz' || (request.url === '/readyz' && ready)
    response.writeHead(ok ? 200 : 503).end(ok ? 'ok' : 'not ready')
  })
  health.listen(settings.port)

  const end = new AbortController()
  for (const name of ['SIGTERM', 'SIGINT'] as const)
    process.once(name, () => end.abort(new Error(`${name}: runs are handed over`)))

  const parts = { settings, config, log, newId: randomUUID, onReady: () => (ready = true) }
  try {
    await runRunner(parts, end.signal)
    log.info('the runner has ended')
  } catch (error) {
    if (!end.signal.aborted) {
      log.error({ err: error }, 'the runner failed')
      process.exitCode = 1
    }
  } finally {
    health.close()
  }
}

main().catch((error: unknown) => {
  process.stderr.write(`runner: ${error instanceof Error ? error.message : String(error)}\n`)
  process.exitCode = 1
})
