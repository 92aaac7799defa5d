import { afterEach, describe, expect, it } from 'vitest'
import { attach, exec, type SessionOptions } from './attach.ts'
import { type Peer, type StreamServer, startStreamServer } from './testing/stream-server.ts'
import { until } from './testing/until.ts'

const place = { namespace: 'ns', pod: 'p', container: 'c' }
const servers: StreamServer[] = []
afterEach(async () => {
  for (const server of servers.splice(0)) await server.close()
})

async function serve(
  meet: (peer: Peer) => void,
  options: { refuse?: boolean; deaf?: boolean } = {},
): Promise<StreamServer> {
  const server = await startStreamServer(meet, options)
  servers.push(server)
  return server
}

async function session(meet: (peer: Peer) => void, more: Partial<SessionOptions> = {}) {
  const { config } = await serve(meet)
  return await attach(config, { ...place, signal: AbortSignal.timeout(10_000), ...more })
}

async function collect(lines: AsyncIterable<string>): Promise<string[]> {
  const all: string[] = []
  for await (const line of lines) all.push(line)
  return all
}

const success = { kind: 'Status', status: 'Success' }
const failed = (code: number) => ({
  kind: 'Status',
  status: 'Failure',
  reason: 'NonZeroExitCode',
  details: { causes: [{ reason: 'ExitCode', message: String(code) }] },
})

describe('an attached process', () => {
  it('gives whole lines, hears what is sent, and ends when it says so', async () => {
    let peer: Peer | undefined
    const attached = await session((p) => {
      peer = p
      p.stdout('{"a"')
      p.stdout(':1}\n{"b":2}\nrest')
      p.stderr('careful')
    })
    attached.send('{"do":"hello"}')
    await until('stdin came', () => peer?.stdin() === '{"do":"hello"}\n')
    peer?.status(success)
    expect(await collect(attached.lines)).toEqual(['{"a":1}', '{"b":2}'])
    expect(attached.stderr()).toBe('careful')
    expect(peer?.url).toContain('/api/v1/namespaces/ns/pods/p/attach?container=c&stdin=true')
  })

  it('whose connection breaks is an error after the lines that came', async () => {
    const attached = await session((p) => {
      p.stdout('one\n')
      setTimeout(() => p.reset(), 50)
    })
    const got: string[] = []
    const reading = (async () => {
      for await (const line of attached.lines) got.push(line)
    })()
    await expect(reading).rejects.toMatchObject({ reason: 'StreamBroken' })
    expect(got).toEqual(['one'])
    expect(() => attached.send('x')).toThrow('connection closed')
  })

  it('that ends badly is an error that says how', async () => {
    const attached = await session((p) => p.status(failed(3)))
    await expect(collect(attached.lines)).rejects.toThrow('ended badly')
  })

  it('is let go by close, without an error', async () => {
    const attached = await session((p) => p.stdout('one\n'))
    const lines = attached.lines[Symbol.asyncIterator]()
    expect(await lines.next()).toEqual({ value: 'one', done: false })
    attached.close()
    expect((await lines.next()).done).toBe(true)
  })

  it('hears the signal while a reader waits', async () => {
    const controller = new AbortController()
    const attached = await session(() => {}, { signal: controller.signal })
    setTimeout(() => controller.abort(new Error('enough')), 20)
    await expect(collect(attached.lines)).rejects.toThrow('enough')
  })

  it('that talks faster than it is read is made to wait, and nothing is lost', async () => {
    const line = 'x'.repeat(1_000)
    const total = 60_000
    let peer: Peer | undefined
    const attached = await session(
      (p) => {
        peer = p
        for (let i = 0; i < total; i++) p.stdout(`${line}\n`)
        p.status(success)
      },
      { maxBufferBytes: 100_000 },
    )
    await new Promise((resolve) => setTimeout(resolve, 300))
    expect(peer?.unsent()).toBeGreaterThan(10_000_000)
    expect((await collect(attached.lines)).length).toBe(total)
  })

  it('with a line that never ends is an error', async () => {
    const attached = await session((p) => p.stdout('x'.repeat(2_000)), { maxLineBytes: 1_000 })
    await expect(collect(attached.lines)).rejects.toThrow('more than 1000 bytes')
  })
})

describe('a connection', () => {
  it('that is refused names the status', async () => {
    const { config } = await serve(() => {}, { refuse: true })
    const attaching = attach(config, { ...place, signal: AbortSignal.timeout(5_000) })
    await expect(attaching).rejects.toMatchObject({ status: 403, reason: 'Forbidden' })
  })

  it('that never stands ends at its deadline', async () => {
    const { config } = await serve(() => {}, { deaf: true })
    const signal = AbortSignal.timeout(5_000)
    const attaching = attach(config, { ...place, signal, connectMs: 100 })
    await expect(attaching).rejects.toMatchObject({ reason: 'DeadlineExceeded' })
  })
})

describe('a command', () => {
  const run = async (meet: (peer: Peer) => void, more: { deadlineMs?: number } = {}) => {
    const { config } = await serve(meet)
    const signal = AbortSignal.timeout(10_000)
    const options = { deadlineMs: 5_000, ...more, maxOutputBytes: 8, signal }
    return await exec(config, { ...place, command: ['sh', '-c', 'x'], ...options })
  }

  it('gives its output and code', async () => {
    const output = await run((p) => {
      p.stdout('out')
      p.stderr('err')
      p.status(failed(3))
    })
    expect(output).toEqual({ code: 3, stdout: 'out', stderr: 'err', truncated: false })
  })

  it('keeps the beginning of too much output and says so', async () => {
    const output = await run((p) => {
      p.stdout('12345')
      p.stdout('67890')
      p.status(success)
    })
    expect(output).toEqual({ code: 0, stdout: '12345678', stderr: '', truncated: true })
  })

  it('whose connection breaks has no code', async () => {
    await expect(run((p) => p.reset())).rejects.toMatchObject({ reason: 'StreamBroken' })
  })

  it('that takes too long ends at its deadline', async () => {
    const running = run(() => {}, { deadlineMs: 100 })
    await expect(running).rejects.toMatchObject({ reason: 'DeadlineExceeded' })
  })

  it('that cannot be started is an error', async () => {
    const status = { kind: 'Status', status: 'Failure', code: 500, message: 'no such file' }
    await expect(run((p) => p.status(status))).rejects.toThrow('no such file')
  })
})
