import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { KubeConfig } from '@kubernetes/client-node'

/** One connection of an attach or exec, from the container's side. */
export type Peer = {
  url: string
  /** what came on stdin so far */
  stdin(): string
  stdout(text: string): void
  stderr(text: string): void
  /** the last word: how the process ended */
  status(status: object): void
  /** breaks the connection without a word */
  reset(): void
  /** bytes that are written and not yet taken by the other side's system */
  unsent(): number
}

/** A server that speaks the frames of attach and exec, and breaks as told. */
export type StreamServer = { config: KubeConfig; close(): Promise<void> }

/** Starts a StreamServer on loopback; `meet` is called for each connection. `refuse` answers 403 instead. */
export async function startStreamServer(
  meet: (peer: Peer) => void,
  options: { refuse?: boolean; deaf?: boolean } = {},
): Promise<StreamServer> {
  const sockets = new Set<Socket>()
  const server = createServer()
  server.on('connection', (socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    socket.on('error', () => {})
  })
  server.on('upgrade', (request, socket: Socket) => {
    if (options.deaf) return
    if (options.refuse) {
      socket.end('HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n')
      return
    }
    socket.write(acceptance(request.headers['sec-websocket-key'] ?? ''))
    meet(peerOn(socket, request.url ?? ''))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const config = new KubeConfig()
  const cluster = { name: 'streams', server: `http://127.0.0.1:${port}`, skipTLSVerify: true }
  config.loadFromClusterAndUser(cluster, { name: 'anybody' })
  return {
    config,
    async close() {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}

function acceptance(key: string): string {
  const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
  return [
    'HTTP/1.1 101 Switching Protocols',
    'upgrade: websocket',
    'connection: Upgrade',
    'sec-websocket-protocol: v5.channel.k8s.io',
    `sec-websocket-accept: ${accept.digest('base64')}`,
    '\r\n',
  ].join('\r\n')
}

function peerOn(socket: Socket, url: string): Peer {
  let held = Buffer.alloc(0)
  let stdin = ''
  socket.on('data', (chunk) => {
    held = Buffer.concat([held, chunk])
    for (let read = readFrame(held); read; read = readFrame(held)) {
      held = held.subarray(read.length)
      if (read.opcode === 8) socket.end(frame(8, Buffer.alloc(0)))
      else if (read.payload[0] === 0) stdin += read.payload.subarray(1).toString()
    }
  })
  const say = (channel: number, text: string) =>
    socket.write(frame(2, Buffer.concat([Buffer.from([channel]), Buffer.from(text)])))
  return {
    url,
    stdin: () => stdin,
    stdout: (text) => say(1, text),
    stderr: (text) => say(2, text),
    status: (status) => say(3, JSON.stringify(status)),
    reset: () => socket.resetAndDestroy(),
    unsent: () => socket.writableLength,
  }
}

function frame(opcode: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(10)
  head[0] = 0x80 | opcode
  head[1] = 127
  head.writeBigUInt64BE(BigInt(payload.length), 2)
  if (payload.length >= 65_536) return Buffer.concat([head, payload])
  if (payload.length < 126)
    return Buffer.concat([Buffer.from([0x80 | opcode, payload.length]), payload])
  head[1] = 126
  head.writeUInt16BE(payload.length, 2)
  return Buffer.concat([head.subarray(0, 4), payload])
}

/** One masked frame of a client, up to 64 kB. */
function readFrame(bytes: Buffer): { opcode: number; payload: Buffer; length: number } | undefined {
  if (bytes.length < 6) return undefined
  const short = (bytes[1] ?? 0) & 0x7f
  const at = short === 126 ? 4 : 2
  const size = short === 126 ? bytes.readUInt16BE(2) : short
  if (bytes.length < at + 4 + size) return undefined
  const mask = bytes.subarray(at, at + 4)
  const payload = Buffer.from(bytes.subarray(at + 4, at + 4 + size))
  for (let i = 0; i < payload.length; i++) payload[i] = (payload[i] ?? 0) ^ (mask[i % 4] ?? 0)
  return { opcode: (bytes[0] ?? 0) & 0x0f, payload, length: at + 4 + size }
}
