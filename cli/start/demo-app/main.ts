import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { startLoad } from './load.ts'
import { createDemo } from './server.ts'

/** The demo application: `node demo.cjs` serves, `node demo.cjs load --url URL …` asks. Only node's own modules. */
const stopAsked = new Promise<void>((resolve) => {
  process.once('SIGTERM', () => resolve())
  process.once('SIGINT', () => resolve())
})

async function serve(env: NodeJS.ProcessEnv): Promise<void> {
  const name = env['APP_NAME'] || 'demo'
  const demo = createDemo(
    { name, pod: env['POD_NAME'] || 'none', workRounds: 20_000, drainMs: 1_000 },
    () => performance.now(),
  )
  const port = Number(env['PORT'] || 8080)
  demo.server.listen(port, () => console.log(JSON.stringify({ app: name, listening: port })))
  await stopAsked
  await demo.stop((ms) => delay(ms))
}

async function load(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      url: { type: 'string', multiple: true, default: [] },
      rate: { type: 'string', default: '20' },
    },
  })
  const running = startLoad({
    urls: values.url,
    rate: Number(values.rate),
    timeoutMs: 2_000,
    maxInFlight: 50,
  })
  const say = () => console.log(JSON.stringify({ at: Date.now(), ...running.counts() }))
  const timer = setInterval(say, 1_000)
  await stopAsked
  clearInterval(timer)
  running.stop()
  say()
}

async function main([command, ...rest]: string[]): Promise<void> {
  if (command === 'load') await load(rest)
  else if (command === undefined) await serve(process.env)
  else {
    console.error(`unknown command "${command}"; use nothing to serve, or: load --url URL --rate N`)
    process.exitCode = 64
  }
}

void main(process.argv.slice(2))
