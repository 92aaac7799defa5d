import { PassThrough } from 'node:stream'
import type { KubeConfig } from '@kubernetes/client-node'
// not exported by the package's index, and Attach and Exec hide the frames that say how a process ended
import { WebSocketHandler } from '@kubernetes/client-node/dist/web-socket-handler.js'
import { KubeError } from './errors.ts'
import { createLineCutter } from './lines.ts'
import { pods, resourcePath } from './paths.ts'
import type { StatusBody } from './types.ts'

/** Which container. */
export type ContainerPlace = { namespace: string; pod: string; container: string }

/** How a session is opened and bounded. */
export type SessionOptions = ContainerPlace & {
  signal: AbortSignal
  /** for the connection to stand, default 10 s */
  connectMs?: number
  /** lines that nobody has read yet; beyond it the peer is made to wait. Default 1 MB */
  maxBufferBytes?: number
  /** default 1 MB */
  maxLineBytes?: number
}

/** A conversation by lines with a process in a container. */
export interface Session {
  /**
   * Lines of stdout, each once, for one reader. Ends when the process ended well; throws a KubeError when the connection
   * broke, the process failed, or the signal came.
   */
  readonly lines: AsyncIterable<string>
  send(line: string): void
  /** the last 16 kB of stderr */
  stderr(): string
  /** lets go without a word; the lines end */
  close(): void
}

/** The result of a command. */
export type Output = {
  code: number
  stdout: string
  stderr: string
  /** more came than was kept */
  truncated: boolean
}

/** A command and its bounds. */
export type ExecOptions = ContainerPlace & {
  command: string[]
  signal: AbortSignal
  /** for connection and command together */
  deadlineMs: number
  /** per stream, default 64 kB; the first bytes are kept */
  maxOutputBytes?: number
}

const stdinChannel = 0
const stdoutChannel = 1
const stderrChannel = 2
const statusChannel = 3
const stderrTail = 16 * 1024
const MB = 1024 * 1024

type Socket = Awaited<ReturnType<WebSocketHandler['connect']>>
type Frame = (channel: number, bytes: Buffer) => void

/** Attaches to the container's process with stdin and stdout. */
export async function attach(config: KubeConfig, options: SessionOptions): Promise<Session> {
  const query = new URLSearchParams({
    container: options.container,
    stdin: 'true',
    stdout: 'true',
    stderr: 'true',
    tty: 'false',
  })
  const path = `${podPath(options, 'attach')}?${query}`
  const inbox = createInbox(options)
  const { connectMs = 10_000, signal } = options
  const socket = await connect(config, { path, signal, connectMs, onFrame: inbox.onFrame })
  return inbox.sessionOn(socket, signal, path)
}

/** Runs a command in the container, without stdin, and gives back what it said. */
export async function exec(config: KubeConfig, options: ExecOptions): Promise<Output> {
  const query = new URLSearchParams({
    container: options.container,
    stdout: 'true',
    stderr: 'true',
    tty: 'false',
  })
  for (const word of options.command) query.append('command', word)
  const path = `${podPath(options, 'exec')}?${query}`
  const kept = createCapture(options.maxOutputBytes ?? 64 * 1024)
  const { promise, resolve, reject } = Promise.withResolvers<StatusBody>()
  promise.catch(() => {})
  const signal = AbortSignal.any([options.signal, AbortSignal.timeout(options.deadlineMs)])
  const onAbort = () =>
    reject(options.signal.aborted ? options.signal.reason : tooLong(path, options.deadlineMs))
  signal.addEventListener('abort', onAbort, { once: true })
  let socket: Socket | undefined
  try {
    socket = await connect(config, {
      path,
      signal: options.signal,
      connectMs: options.deadlineMs,
      onFrame(channel, bytes) {
        if (channel === statusChannel) resolve(JSON.parse(bytes.toString('utf8')) as StatusBody)
        else kept.push(channel, bytes)
      },
    })
    // a status that came before the close has won already
    onClose(socket, () => reject(brokenOff(path)))
    if (signal.aborted) onAbort()
    return { code: exitCode(await promise, path), ...kept.output() }
  } finally {
    signal.removeEventListener('abort', onAbort)
    socket?.close()
  }
}

const podPath = ({ namespace, pod }: ContainerPlace, subresource: string): string =>
  resourcePath({ ...pods, namespace, name: pod, subresource })

const tooLong = (path: string, ms: number): KubeError =>
  new KubeError({
    status: 0,
    reason: 'DeadlineExceeded',
    message: `${path}: not through within ${ms} ms; check the node and the container`,
  })

const brokenOff = (path: string): KubeError =>
  new KubeError({
    status: 0,
    reason: 'StreamBroken',
    message: `${path}: the connection closed before the process said how it ended; connect again`,
  })

type Connecting = { path: string; signal: AbortSignal; connectMs: number; onFrame: Frame }

/** Opens the WebSocket. One that opens after the deadline is closed at once. */
async function connect(config: KubeConfig, how: Connecting): Promise<Socket> {
  const { path, signal, connectMs, onFrame } = how
  signal.throwIfAborted()
  // streams of its own: by default the handler ends the streams of this process on a close frame
  const unused = { stdin: new PassThrough(), stdout: new PassThrough(), stderr: new PassThrough() }
  const handler = new WebSocketHandler(config, undefined, unused)
  const opening = handler.connect(path, null, (channel, bytes) => {
    onFrame(channel, bytes)
    return true
  })
  const { promise: late, reject } = Promise.withResolvers<never>()
  late.catch(() => {})
  const timer = setTimeout(() => reject(tooLong(path, connectMs)), connectMs)
  const onAbort = () => reject(signal.reason)
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    return await Promise.race([opening, late])
  } catch (error) {
    opening.then(
      (socket) => socket.terminate(),
      () => {},
    )
    throw signal.aborted || error instanceof KubeError ? error : refused(path, error)
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', onAbort)
  }
}

/** The WebSocket library gives the HTTP status of a refusal in its message only. */
function refused(path: string, error: unknown): KubeError {
  const message = (error as { message?: string } | null)?.message ?? String(error)
  const status = Number(/Unexpected server response: (\d+)/.exec(message)?.[1] ?? 0)
  const reason = { 403: 'Forbidden', 404: 'NotFound' }[status] ?? 'Unreachable'
  return new KubeError({
    status,
    reason,
    message: `${path}: ${message}; check that the container runs and that the account may do this`,
    cause: error,
  })
}

function onClose(socket: Socket, closed: () => void): void {
  socket.addEventListener('close', closed)
  // without a listener an error after the opening would end the program; a close follows it
  socket.addEventListener('error', () => {})
}

function exitCode(status: StatusBody, path: string): number {
  if (status.status === 'Success') return 0
  const code = status.details?.causes?.find((c) => c.reason === 'ExitCode')?.message
  if (code !== undefined) return Number(code)
  const said = status.message ?? 'the command could not be started'
  throw new KubeError({
    status: status.code ?? 500,
    reason: status.reason ?? 'InternalError',
    message: `${path}: ${said}`,
    details: status.details,
  })
}

function createCapture(maxBytes: number) {
  const parts: Record<number, Buffer[]> = { [stdoutChannel]: [], [stderrChannel]: [] }
  const sizes: Record<number, number> = {}
  let truncated = false
  const text = (channel: number) => Buffer.concat(parts[channel] ?? []).toString('utf8')
  return {
    push(channel: number, bytes: Buffer): void {
      const room = maxBytes - (sizes[channel] ?? 0)
      if (bytes.length > room) truncated = true
      if (room <= 0) return
      const kept = Buffer.from(bytes.subarray(0, room))
      parts[channel]?.push(kept)
      sizes[channel] = (sizes[channel] ?? 0) + kept.length
    },
    output: () => ({ stdout: text(stdoutChannel), stderr: text(stderrChannel), truncated }),
  }
}

type Inbox = {
  onFrame: Frame
  sessionOn(socket: Socket, signal: AbortSignal, path: string): Session
}

/** Lines that wait for their reader, and the end that comes after them. */
function createInbox({ maxBufferBytes = MB, maxLineBytes = MB }: SessionOptions): Inbox {
  const cutter = createLineCutter(maxLineBytes)
  const lines: string[] = []
  let bytesHeld = 0
  let errors: Buffer = Buffer.alloc(0)
  let end: { error?: unknown } | undefined
  let wake: () => void = () => {}
  let socket: Socket | undefined

  const finish = (how: { error?: unknown }): void => {
    end ??= how
    wake()
  }
  const take = (taken: string[]): void => {
    for (const line of taken) bytesHeld += line.length + 1
    lines.push(...taken)
    // the peer waits: nothing is read from the socket until the reader has caught up
    if (bytesHeld > maxBufferBytes) socket?.pause()
    wake()
  }
  const read = async function* (): AsyncGenerator<string> {
    for (;;) {
      const line = lines.shift()
      if (line !== undefined) {
        bytesHeld -= line.length + 1
        if (socket?.isPaused && bytesHeld <= maxBufferBytes / 2) socket.resume()
        yield line
      } else if (end) {
        if (end.error !== undefined) throw end.error
        return
      } else {
        const more = Promise.withResolvers<void>()
        wake = more.resolve
        await more.promise
      }
    }
  }
  const onFrame: Frame = (channel, bytes) => {
    try {
      if (channel === stdoutChannel) take(cutter.push(bytes))
      else if (channel === stderrChannel) errors = tailOf(Buffer.concat([errors, bytes]))
      else if (channel === statusChannel) finish(endFrom(bytes))
    } catch (error) {
      finish({ error })
      socket?.terminate()
    }
  }
  return {
    onFrame,
    sessionOn(opened, signal, path) {
      socket = opened
      const onAbort = () => {
        finish({ error: signal.reason })
        opened.terminate()
      }
      onClose(opened, () => {
        signal.removeEventListener('abort', onAbort)
        finish({ error: brokenOff(path) })
      })
      signal.addEventListener('abort', onAbort, { once: true })
      if (signal.aborted) onAbort()
      const iterator = read()
      return {
        lines: { [Symbol.asyncIterator]: () => iterator },
        send(line) {
          if (opened.readyState !== opened.OPEN) throw brokenOff(path)
          opened.send(frame(stdinChannel, `${line}\n`))
        },
        stderr: () => errors.toString('utf8'),
        close() {
          finish({})
          opened.close()
        },
      }
    },
  }
}

const tailOf = (bytes: Buffer): Buffer => Buffer.from(bytes.subarray(-stderrTail))

function endFrom(bytes: Buffer): { error?: unknown } {
  const status = JSON.parse(bytes.toString('utf8')) as StatusBody
  if (status.status === 'Success') return {}
  return {
    error: new KubeError({
      status: status.code ?? 500,
      reason: status.reason ?? 'InternalError',
      message: `the process ended badly: ${status.message ?? JSON.stringify(status)}`,
      details: status.details,
    }),
  }
}

function frame(channel: number, text: string): Buffer {
  return Buffer.concat([Buffer.from([channel]), Buffer.from(text, 'utf8')])
}
