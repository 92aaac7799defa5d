import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { parentPort, Worker, workerData } from 'node:worker_threads'
import { Agent } from 'undici'
import { systemClock, systemRandom } from '../lib/clock.ts'
import { createDispatcher, createSend } from '../lib/http.ts'
import { silentLog } from '../lib/log.ts'
import { createPeer } from '../lib/peer.ts'
import { encodeLogLine, logTime } from '../model/wire/log-service.ts'
import { createMasker } from '../runner/logs/mask.ts'
import { createLogStreams, logDefaults, logServicePeer } from '../runner/logs/streams.ts'

/**
 * Lines per second from one runner to a log-service that only counts, ours against the floor: undici PUTs of the same
 * batches, encoded and masked by nobody. Both in the same run, in turns.
 */
const LINES = 200_000
const ROUNDS = 10
const time = systemClock.now()
const args = { PodName: 'pod-cpu-hog-pys-x2k9d', PodNamespace: 'v2' }
const outOf = (n: number): string => `[Info]: probe google-ping evaluation ${n}: HTTP 200 in 3 ms`
const never = new AbortController().signal

/** The receiving side, on its own thread: counts bytes and answers. */
function receive(): void {
  const server = createServer((request, response) => {
    request.resume()
    request.on('end', () => response.end())
  })
  server.listen(0, '127.0.0.1', () =>
    parentPort?.postMessage((server.address() as AddressInfo).port),
  )
}

async function floor(url: string): Promise<number> {
  const { origin } = new URL(url)
  const agent = new Agent({ connections: 1 })
  const batch = Array.from({ length: logDefaults.batch.maxLines }, (_none, i) =>
    encodeLogLine({ level: 'info', pos: i + 1, out: outOf(i), time: logTime(time), args }),
  )
  const started = performance.now()
  for (let sent = 0; sent < LINES; sent += batch.length) {
    const body = `[${batch.join(',')}]`
    const path = '/log-service/stream?accountID=a&key=k'
    const headers = { 'content-type': 'application/json' }
    const reply = await agent.request({ origin, path, method: 'PUT', headers, body })
    await reply.body.dump()
  }
  const seconds = (performance.now() - started) / 1000
  await agent.close()
  return LINES / seconds
}

async function ours(url: string): Promise<{ rate: number; lost: number; mostMemory: number }> {
  const log = silentLog()
  const dispatcher = createDispatcher()
  const logs = createLogStreams({
    settings: { baseUrl: `${url}/log-service`, token: 't', accountId: 'a', ...logDefaults },
    send: createSend(dispatcher, { deadlineMs: 10_000 }),
    peer: createPeer(logServicePeer, { clock: systemClock, random: systemRandom, log }),
    clock: systemClock,
    mask: createMasker(['one-secret-value', 'another-secret-value']),
    log,
  })
  logs.open('k', { from: 1 })
  let mostMemory = 0
  const started = performance.now()
  for (let n = 1; n <= LINES; n++) {
    logs.write('k', { level: 'info', out: outOf(n), time, args })
    // lines come from sockets, some hundred at a time
    if (n % 500 === 0) {
      mostMemory = Math.max(mostMemory, logs.stats().memoryBytes)
      await new Promise((resolve) => setImmediate(resolve))
    }
  }
  await logs.close('k', never)
  const seconds = (performance.now() - started) / 1000
  const { lost } = logs.stats()
  await dispatcher.close()
  return { rate: LINES / seconds, lost, mostMemory }
}

const median = (values: number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN
const thousands = (value: number): string => `${(value / 1000).toFixed(0)}k`
const range = (values: number[]): string =>
  `${thousands(median(values))} (${thousands(Math.min(...values))}–${thousands(Math.max(...values))})`

async function main(): Promise<void> {
  const receiver = new Worker(new URL(import.meta.url), { workerData: 'receive' })
  const port = await new Promise<number>((resolve) => receiver.once('message', resolve))
  const url = `http://127.0.0.1:${port}`
  const [mine, raw, memory]: [number[], number[], number[]] = [[], [], []]
  let lost = 0
  await Promise.all([floor(url), ours(url)])
  for (let round = 0; round < ROUNDS; round++) {
    raw.push(await floor(url))
    const result = await ours(url)
    mine.push(result.rate)
    memory.push(result.mostMemory)
    lost += result.lost
  }
  await receiver.terminate()
  const met = median(mine) >= 50_000 && lost === 0
  process.stdout.write(
    [
      `log-service, ${ROUNDS} rounds of ${thousands(LINES)} lines, lines/s: median (range)`,
      `  floor (undici PUT)  ${range(raw)}`,
      `  ours                ${range(mine)}, ${((100 * median(mine)) / median(raw)).toFixed(0)} % of the floor`,
      `  lost ${lost}, most unsent in memory ${(Math.max(...memory) / 1024 / 1024).toFixed(1)} MiB`,
      `  budget 50k lines/s: ${met ? 'met' : 'short'}`,
      '',
    ].join('\n'),
  )
}

if (workerData === 'receive') receive()
else await main()
