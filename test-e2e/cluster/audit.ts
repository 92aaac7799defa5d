import { open, writeFile } from 'node:fs/promises'

/** One finished request as the API server saw it. */
export type AuditEvent = {
  verb: string
  requestURI: string
  user: { username: string; groups?: string[] }
  impersonatedUser?: { username: string }
  userAgent?: string
  objectRef?: { resource?: string; subresource?: string; namespace?: string; name?: string }
  responseStatus?: { code?: number }
  requestReceivedTimestamp: string
  stageTimestamp: string
}

/** Writes an audit policy: each request once, when it is answered, without bodies. */
export async function writeAuditPolicy(file: string): Promise<void> {
  const policy = {
    apiVersion: 'audit.k8s.io/v1',
    kind: 'Policy',
    omitStages: ['RequestReceived', 'ResponseStarted', 'Panic'],
    rules: [{ level: 'Metadata' }],
  }
  await writeFile(file, JSON.stringify(policy))
}

/** Reads the audit log from a byte offset; `next` is where to go on. */
export async function readAudit(
  file: string,
  from = 0,
): Promise<{ events: AuditEvent[]; next: number }> {
  const handle = await open(file, 'r')
  try {
    const { size } = await handle.stat()
    const buffer = Buffer.alloc(Math.max(0, size - from))
    await handle.read(buffer, 0, buffer.length, from)
    // The last line may be half written.
    const whole = buffer.subarray(0, buffer.lastIndexOf(10) + 1)
    const lines = whole.toString().split('\n').filter(Boolean)
    return { events: lines.map((l) => JSON.parse(l) as AuditEvent), next: from + whole.length }
  } finally {
    await handle.close()
  }
}
