import { systemClock } from '../../lib/clock.ts'
import { createKubeClient } from '../../lib/kube/client.ts'
import { loadKubeConfig } from '../../lib/kube/config.ts'
import { type HaltOptions, parseArguments, usage } from './arguments.ts'
import { halt } from './halt.ts'

/** `npm run halt`: reads the command line, pulls or lifts the kill switch, and says what is left. */
async function main(options: HaltOptions): Promise<number> {
  const config = loadKubeConfig({ ...options.place, env: process.env })
  const client = createKubeClient({ config, userAgent: 'chaosplane-halt/0.1.0' })
  const stop = new AbortController()
  const hear = () => stop.abort(new Error('interrupted; what was set stays as it is'))
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, hear)
  try {
    const parts = { client, clock: systemClock, say: (line: string) => console.log(line) }
    const left = await halt(options, parts, stop.signal)
    for (const each of left) console.error(each)
    return left.length === 0 ? 0 : 1
  } finally {
    await client.close()
  }
}

const parsed = parseArguments(process.argv.slice(2))
if (parsed.do === 'help') console.log(usage)
else if (parsed.do === 'refuse') {
  console.error(`npm run halt: ${parsed.reason}\nSee: npm run halt -- --help`)
  process.exitCode = 64
} else
  main(parsed.options).then(
    (code) => process.exit(code),
    (error: unknown) => {
      console.error(`npm run halt: ${error instanceof Error ? error.message : error}`)
      process.exit(2)
    },
  )
