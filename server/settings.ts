import { type LogLevel, logLevel } from '../lib/log.ts'
import type { LogRetention } from './store/logs.ts'

export type Settings = {
  host: string
  port: number
  dataDir: string
  accessKey: string
  logServiceToken: string
  logLevel: LogLevel
  /** completed runs beyond this number are removed, oldest first */
  keepRuns: number
  retention: LogRetention
  /** largest request that agents may send */
  maxBodyBytes: number
}

type Env = Record<string, string | undefined>

function count(env: Env, name: string, otherwise: number): number {
  const text = env[name]
  if (text === undefined || text === '') return otherwise
  const value = Number(text)
  if (!Number.isInteger(value) || value < 0)
    throw new Error(`${name} must be a whole number of 0 or more, got "${text}"`)
  return value
}

function secret(env: Env, name: string): string {
  const value = env[name]
  if (!value)
    throw new Error(
      `${name} must be set: agents have to send it, an empty one would let anybody in`,
    )
  return value
}

/** Settings out of the environment; what is wrong is said by name. */
export function settingsFrom(env: Env): Settings {
  const port = count(env, 'PORT', 8080)
  if (port > 65_535) throw new Error(`PORT must be at most 65535, got "${env.PORT}"`)
  return {
    host: env.HOST || '0.0.0.0',
    port,
    dataDir: env.DATA_DIR || './data',
    accessKey: secret(env, 'ACCESS_KEY'),
    logServiceToken: secret(env, 'LOG_SERVICE_TOKEN'),
    logLevel: logLevel(env.LOG_LEVEL),
    keepRuns: count(env, 'KEEP_RUNS', 10_000),
    retention: {
      maxBytes: count(env, 'LOG_MAX_BYTES', 1024 ** 3),
      maxStreamBytes: count(env, 'LOG_MAX_STREAM_BYTES', 256 * 1024 ** 2),
      maxAgeMs: count(env, 'LOG_KEEP_DAYS', 30) * 86_400_000,
    },
    maxBodyBytes: count(env, 'MAX_BODY_BYTES', 8 * 1024 ** 2),
  }
}
