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

/** The byte offset behind the last whole line, from which to read what comes next. */
export async function endOfAudit(file: string): Promise<number> {
  const handle = await open(file, 'r')
  try {
    const { size } = await handle.stat()
    const buffer = Buffer.alloc(64 * 1024)
    for (let end = size; end > 0; end -= buffer.length) {
      const from = Math.max(0, end - buffer.length)
      const { bytesRead } = await handle.read(buffer, 0, end - from, from)
      const last = buffer.subarray(0, bytesRead).lastIndexOf(10)
      if (last >= 0) return from + last + 1
    }
    return 0
  } finally {
    await handle.close()
  }
}

/** What the audit log tells from a byte offset on. */
export async function readAudit(file: string, from = 0): Promise<AuditEvent[]> {
  const handle = await open(file, 'r')
  try {
    const { size } = await handle.stat()
    const buffer = Buffer.alloc(Math.max(0, size - from))
    await handle.read(buffer, 0, buffer.length, from)
    // The last line may be half written.
    const whole = buffer.subarray(0, buffer.lastIndexOf(10) + 1)
    const lines = whole.toString().split('\n').filter(Boolean)
    return lines.map((l) => JSON.parse(l) as AuditEvent)
  } finally {
    await handle.close()
  }
}
