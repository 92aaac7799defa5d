import type { Clock } from '../lib/clock.ts'
import { createDispatcher, createSend, type Send } from '../lib/http.ts'
import type { Log } from '../lib/log.ts'
import { createPeer } from '../lib/peer.ts'
import { openSpill } from '../lib/spill.ts'
import { createMasker } from './logs/mask.ts'
import {
  createLogStreams,
  type LogStreams,
  logDefaults,
  logServicePeer,
  noLogStreams,
} from './logs/streams.ts'
import type { KserverClient } from './report/kserver.ts'
import { kserverClient, kserverPeer } from './report/kserver.ts'
import { createReporter, type Reporter } from './report/outbox.ts'
import type { HarnessSettings } from './settings.ts'

export type Reporting = {
  reporter: Reporter | null
  kserver: KserverClient | null
  logs: LogStreams
  /** delivers or keeps what is left, until the signal */
  stop(signal: AbortSignal): Promise<void>
}

type Around = { clock: Clock; random: () => number; log: Log; spillDir: string | null }

const MB = 1024 * 1024
const limits = { deadlineMs: 10_000 }

/** The clients of kserver and log-service, each with its own waiting room and its own part of the disk. */
export function createReporting(settings: HarnessSettings, around: Around): Reporting {
  const { clock, random, log, spillDir } = around
  // One pool for each peer: when one hangs, the other is not queued behind it, not even on the same host.
  const dispatchers = [
    createDispatcher(settings.connection),
    createDispatcher(settings.connection),
  ] as const
  const [send, sendLogs] = dispatchers.map((d) => createSend(d, limits)) as [Send, Send]
  const spill = (name: string, megabytes: number) =>
    spillDir ? { spill: openSpill(`${spillDir}/${name}`, megabytes * MB) } : {}
  const kserver = settings.kserver ? kserverClient(settings.kserver, { send, clock }) : null
  const reporter = kserver
    ? createReporter({
        peer: createPeer(kserverPeer, { clock, random, log }),
        post: ({ infra, scope, body }, signal) =>
          kserver.report({ params: { infra }, query: { ...scope }, body }, signal),
        ...spill('kserver', 64),
        maxMemoryBytes: 8 * MB,
        log,
      })
    : null
  const logs = settings.logService
    ? createLogStreams({
        settings: {
          ...logDefaults,
          ...settings.logService,
          accountId: settings.scope.accountIdentifier,
        },
        send: sendLogs,
        peer: createPeer(logServicePeer, { clock, random, log }),
        clock,
        mask: createMasker(settings.secrets),
        ...spill('log-service', 256),
        log,
      })
    : noLogStreams()
  return {
    reporter,
    kserver,
    logs,
    async stop(signal) {
      await Promise.all([reporter?.stop(signal), logs.stop(signal)])
      await Promise.all(dispatchers.map((d) => d.close().catch(() => {})))
    },
  }
}
