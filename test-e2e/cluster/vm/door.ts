import { connect, type Socket } from 'node:net'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'

/** What a script in the machine is given, and how long it may take. */
export type Asked = { input?: Readable | string; timeoutMs?: number }
/** A script's end. */
export type Answer = { code: number; stdout: Buffer; stderr: string }
/** A script that is listened to while it runs; closing it ends the script at its next line. */
export type Following = { close(): void }

const port = 7000
/** behind the script's output: length of what it said on stderr, exit code */
const lengthDigits = 8
const tailLength = 2 * lengthDigits

/** Runs a script as root in the machine at `address`; throws when it cannot be reached or does not end in time. */
export async function ask(address: string, script: string, asked: Asked = {}): Promise<Answer> {
  const { input = '', timeoutMs = 60_000 } = asked
  const socket = open(address, script)
  const late = setTimeout(() => {
    socket.destroy(new Error(`no end within ${timeoutMs / 1000} s in ${address}: ${script}`))
  }, timeoutMs)
  try {
    const answered = whole(socket)
    // A script that does not read its input is judged by its answer.
    const given = pipeline(Readable.from(input), socket).catch(() => {})
    const answer = answerIn(await answered, script)
    await given
    return answer
  } finally {
    clearTimeout(late)
    socket.destroy()
  }
}

/** Runs a script and hands on every line of its output as it comes; a break of the connection ends it. */
export function follow(address: string, script: string, onLine: (line: string) => void): Following {
  const socket = open(address, script)
  let rest = ''
  socket.setEncoding('utf8')
  socket.on('data', (text) => {
    const lines = `${rest}${text}`.split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) onLine(line)
  })
  // The machine may lose its power while it is listened to.
  socket.on('error', () => {})
  return { close: () => socket.destroy() }
}

function open(address: string, script: string): Socket {
  const socket = connect({ host: address, port, allowHalfOpen: true })
  socket.write(`${Buffer.byteLength(script)}\n${script}`)
  return socket
}

async function whole(socket: Socket): Promise<Buffer> {
  const parts: Buffer[] = []
  for await (const part of socket) parts.push(part as Buffer)
  return Buffer.concat(parts)
}

function answerIn(bytes: Buffer, script: string): Answer {
  const tail = bytes.subarray(-tailLength).toString()
  if (!/^\d{16}$/.test(tail)) throw new Error(`the machine went away during: ${script}`)
  const body = bytes.subarray(0, -tailLength)
  const end = body.length - Number(tail.slice(0, lengthDigits))
  return {
    code: Number(tail.slice(lengthDigits)),
    stdout: body.subarray(0, end),
    stderr: body.subarray(end).toString(),
  }
}
