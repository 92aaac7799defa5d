import { Agent, get } from 'node:http'

/** Requests at a fixed rate, whatever the answers take; more than `maxInFlight` open ones are not added to. */
export type LoadSettings = {
  urls: string[]
  /** requests per second, over all urls in turn */
  rate: number
  timeoutMs: number
  maxInFlight: number
}

/** Sums since the start; `skipped` were not sent because too many were open. */
export type LoadCounts = { sent: number; ok: number; failed: number; skipped: number }

/** The load as it runs. */
export type Load = { counts(): LoadCounts; stop(): void }

/** The bounds that the load never leaves. */
export const maxRate = 200

/** Starts to send. */
export function startLoad(settings: LoadSettings): Load {
  const { urls, rate, maxInFlight, timeoutMs } = settings
  if (urls.length === 0) throw new Error('load needs at least one --url')
  if (!(rate > 0 && rate <= maxRate))
    throw new Error(`--rate must be above 0 and at most ${maxRate}, got ${rate}`)
  // A new connection each time: a kept one would stay with the pod that it first met.
  const agent = new Agent({ keepAlive: false })
  const counts: LoadCounts = { sent: 0, ok: 0, failed: 0, skipped: 0 }
  let open = 0
  let turn = 0
  const tick = () => {
    const url = urls[turn++ % urls.length] ?? ''
    if (open >= maxInFlight) {
      counts.skipped++
      return
    }
    open++
    counts.sent++
    void ask(url, agent, timeoutMs).then((ok) => {
      open--
      counts[ok ? 'ok' : 'failed']++
    })
  }
  const timer = setInterval(tick, 1000 / rate)
  return {
    counts: () => ({ ...counts }),
    stop() {
      clearInterval(timer)
      agent.destroy()
    },
  }
}

function ask(url: string, agent: Agent, timeoutMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    const request = get(url, { agent, signal: AbortSignal.timeout(timeoutMs) }, (response) => {
      response.resume()
      response.on('end', () => resolve((response.statusCode ?? 500) < 400))
      response.on('error', () => resolve(false))
    })
    request.on('error', () => resolve(false))
  })
}
