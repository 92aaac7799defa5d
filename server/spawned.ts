import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'

/** The server as its own process, for tests of whoever speaks to it. */
export type SpawnedServer = {
  url: string
  /** lines of its log */
  log: string[]
  kill(signal: 'SIGKILL' | 'SIGTERM'): Promise<number | null>
}

export const testAccessKey = 'access-key-of-tests'
export const testLogToken = 'log-token-of-tests'

/** Starts `server/main.ts` on a free port of loopback and waits until it listens. */
export async function spawnServer(
  dataDir: string,
  env: Record<string, string> = {},
): Promise<SpawnedServer> {
  const child: ChildProcess = spawn(
    process.execPath,
    [new URL('main.ts', import.meta.url).pathname],
    {
      env: {
        PATH: process.env.PATH,
        HOST: '127.0.0.1',
        PORT: '0',
        DATA_DIR: dataDir,
        ACCESS_KEY: testAccessKey,
        LOG_SERVICE_TOKEN: testLogToken,
        ...env,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  )
  const log: string[] = []
  const exited = once(child, 'exit') as Promise<[number | null]>
  const { promise: listening, resolve } = Promise.withResolvers<string>()
  for (const stream of [child.stdout, child.stderr])
    if (stream)
      createInterface({ input: stream }).on('line', (line) => {
        log.push(line)
        const url = /listening at (http:\/\/[\d.:]+)/.exec(line)?.[1]
        if (url) resolve(url)
      })
  const failed = exited.then(([code]) => {
    throw new Error(`the server ended with ${code}: ${log.join('\n')}`)
  })
  const url = await Promise.race([listening, failed])
  failed.catch(() => undefined)
  return {
    url,
    log,
    async kill(signal) {
      if (child.exitCode === null && child.signalCode === null) child.kill(signal)
      return (await exited)[0]
    },
  }
}
