/** Runs in a network namespace and does what it is told by JSON lines: listens, connects, speaks, and says what came of it. */
import { createSocket } from 'node:dgram'
import { connect, createServer, isIPv6, type Socket } from 'node:net'
import { createInterface } from 'node:readline'

type Order = { n: number; do: string; host: string; port: number; ms: number; id: string }

const sockets = new Map<string, Socket>()

const listen = ({ port }: Order): Promise<string> =>
  new Promise((resolve, reject) => {
    const echo = createSocket('udp6')
    echo.on('message', (data, from) => echo.send(data, from.port, from.address, () => {}))
    echo.on('error', reject)
    createServer((socket) => socket.on('error', () => {}).pipe(socket))
      .on('error', reject)
      .listen(port, '::', () => echo.bind(port, () => resolve('listening')))
  })

/** What an error is called, without the name of the call. */
const codeOf = (error: Error): string => (error as NodeJS.ErrnoException).code ?? error.message

const open = ({ host, port, ms, id }: Order): Promise<string> =>
  new Promise((resolve) => {
    const socket = connect({ host, port, noDelay: true })
    const late = setTimeout(() => {
      socket.destroy()
      resolve('silent')
    }, ms)
    const end = (what: string) => {
      clearTimeout(late)
      resolve(what)
    }
    socket.once('connect', () => end('connected'))
    socket.on('error', (error) => end(codeOf(error)))
    sockets.set(id, socket)
  })

const say = ({ id, ms }: Order): Promise<string> =>
  new Promise((resolve) => {
    const socket = sockets.get(id)
    if (!socket) return resolve('no such connection')
    const late = setTimeout(() => resolve('silent'), ms)
    socket.once('data', () => {
      clearTimeout(late)
      resolve('answered')
    })
    socket.write('x')
  })

const ask = ({ host, port, ms }: Order): Promise<string> =>
  new Promise((resolve) => {
    const socket = createSocket(isIPv6(host) ? 'udp6' : 'udp4')
    const end = (what: string) => {
      clearTimeout(late)
      socket.close()
      resolve(what)
    }
    const late = setTimeout(() => end('silent'), ms)
    socket.on('message', () => end('answered'))
    socket.on('error', (error) => end(codeOf(error)))
    socket.send('x', port, host, (error) => error && end(codeOf(error)))
  })

async function trip(order: Order): Promise<string> {
  const from = performance.now()
  const what = await ask(order)
  return what === 'answered' ? String(performance.now() - from) : what
}

const verbs: Record<string, (order: Order) => Promise<string>> = { listen, open, say, ask, trip }

createInterface({ input: process.stdin })
  .on('line', (line) => {
    const order = JSON.parse(line) as Order
    verbs[order.do]?.(order)
      .catch((error: Error) => codeOf(error))
      .then((said) => console.log(JSON.stringify({ n: order.n, said })))
  })
  .on('close', () => process.exit(0))
console.log(JSON.stringify({ n: 0, said: 'ready' }))
