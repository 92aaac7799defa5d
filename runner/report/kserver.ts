import type { Clock } from '../../lib/clock.ts'
import { type Calls, clientOf, type Send } from '../../lib/http.ts'
import type { PeerSettings } from '../../lib/peer.ts'
import {
  accessKeyHeader,
  kserver,
  parseExecutionData,
  type ReceivedExecutionData,
  runRecordReply,
  type Scope,
} from '../../model/wire/kserver.ts'

export type KserverSettings = {
  /** for example `https://app.harness.io/gateway/chaos/kserver/api` */
  baseUrl: string
  accessKey: string
}
export type KserverClient = Calls<typeof kserver>

/** How long kserver is waited for; see DESIGN: an outage costs nothing but lateness. */
export const kserverPeer: PeerSettings = {
  name: 'kserver',
  minMs: 200,
  maxMs: 5000,
  forbiddenMs: 30_000,
  forbiddenHint:
    'check ACCESS_KEY in the Secret and KUBERNETES_INFRA_SERVICE_ENDPOINT in the ConfigMap of the runner;',
}

/** The calls of kserver, with the access key. */
export function kserverClient(
  settings: KserverSettings,
  io: { send: Send; clock: Clock },
): KserverClient {
  return clientOf(kserver, {
    baseUrl: settings.baseUrl,
    headers: { [accessKeyHeader]: settings.accessKey },
    send: io.send,
    now: io.clock.now,
  })
}

/** What the control plane knows of a run; undefined parts were not there or not readable. */
export type KnownRun = {
  notifyId: string
  phase: string
  completed: boolean
  executionData: ReceivedExecutionData | undefined
  /** as it came: text or object */
  experiment: unknown
}
export type FetchedRun =
  | { found: true; run: KnownRun }
  | { found: false; why: string; retry: boolean }

function readExecutionData(value: unknown): ReceivedExecutionData | undefined {
  if (value === undefined || value === null || value === '') return undefined
  try {
    return parseExecutionData(value)
  } catch {
    return undefined
  }
}

function readRecord(text: string): FetchedRun {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch {
    return { found: false, why: 'the run record is not JSON', retry: false }
  }
  const record = runRecordReply.safeParse(json)
  if (!record.success)
    return { found: false, why: 'the run record has another shape than known', retry: false }
  const { notifyID, phase, completed, executionData, experimentYaml } = record.data.data
  return {
    found: true,
    run: {
      notifyId: notifyID,
      phase,
      completed,
      executionData: readExecutionData(executionData),
      experiment: experimentYaml ?? undefined,
    },
  }
}

/** One look at the run record, with which a run is resumed. Never throws but on abort: a run also goes on without it. */
export async function fetchRun(
  client: KserverClient,
  which: { infra: string; experimentId: string; runId: string; scope: Scope },
  signal: AbortSignal,
): Promise<FetchedRun> {
  const { infra, experimentId, runId, scope } = which
  const outcome = await client.fetchRun(
    { params: { infra, experimentId, runId }, query: { ...scope } },
    signal,
  )
  if (outcome.kind === 'delivered') return readRecord(outcome.reply.text)
  return { found: false, why: outcome.why, retry: outcome.kind === 'unavailable' }
}
