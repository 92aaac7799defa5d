import { type DestinationStream, type Logger, pino } from 'pino'

export const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const
export type LogLevel = (typeof logLevels)[number]

/** The part of a logger that our code uses: `log.info({ run }, 'what happened')`. */
export type Log = Pick<Logger, 'debug' | 'info' | 'warn' | 'error'> & {
  child(bindings: Record<string, unknown>): Log
}

/** Reads a level from a setting; a wrong word is refused by name. */
export function logLevel(value: string | undefined): LogLevel {
  if (value === undefined || value === '') return 'info'
  const level = logLevels.find((known) => known === value.toLowerCase())
  if (!level) throw new Error(`LOG_LEVEL must be one of ${logLevels.join(', ')}, got "${value}"`)
  return level
}

/** JSON lines on stdout (or `to`), level as a word, time as ISO text; fields that carry secrets are masked. */
export function createLog(
  options: { program: string; level: LogLevel },
  to?: DestinationStream,
): Log {
  const settings = {
    level: options.level,
    base: { program: options.program },
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
    redact: {
      paths: ['password', 'token', 'accessKey', 'secret', 'authorization', 'headers.*', 'env'],
      censor: '********',
    },
  }
  return to ? pino(settings, to) : pino(settings)
}

/** A log that says nothing, for code that is used without a program around it. */
export const silentLog = (): Log => createLog({ program: '', level: 'silent' })
