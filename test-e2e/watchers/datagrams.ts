import { spawn } from 'node:child_process'

const receiver = `
const socket = require('node:dgram').createSocket(process.argv[2] === '6' ? 'udp6' : 'udp4')
let count = 0
socket.on('message', () => count++)
socket.bind(Number(process.argv[1]), () => console.log('ready'))
process.stdin.on('end', () => { console.log(count); process.exit(0) }).resume()
`
const sender = `
const socket = require('node:dgram').createSocket(process.argv[1].includes(':') ? 'udp6' : 'udp4')
const [host, port, count] = process.argv.slice(1)
let [sent, refused] = [0, 0]
const next = () => {
  if (sent + refused === Number(count)) { console.log(sent); socket.close(); return }
  // a rest now and then: a receiver on a busy machine has room for some hundred
  const rest = (sent + refused) % 25 === 24 ? () => setTimeout(next, 5) : () => setImmediate(next)
  socket.send('x', Number(port), host, (error) => { if (error) refused++; else sent++; rest() })
}
next()
`

/** A network namespace by a process in it, and an address there. */
export type Place = { pid: number; address: string }

const inside = (pid: number, script: string, args: (string | number)[]) =>
  spawn(
    'nsenter',
    [`--net=/proc/${pid}/ns/net`, process.execPath, '-e', script, ...args.map(String)],
    {
      stdio: ['pipe', 'pipe', 'inherit'],
    },
  )

const said = async (child: ReturnType<typeof inside>): Promise<string> => {
  let text = ''
  for await (const part of child.stdout ?? []) text += part
  return text
}

/** Sends datagrams from one place to another; says how many left without an error, and how many came. */
export async function datagrams(
  from: Place,
  to: Place,
  { count, port }: { count: number; port: number },
): Promise<{ sent: number; received: number }> {
  const listening = inside(to.pid, receiver, [port, to.address.includes(':') ? '6' : '4'])
  const heard = said(listening)
  await new Promise((ready) => listening.stdout?.once('data', ready))
  const sent = Number(await said(inside(from.pid, sender, [to.address, port, count])))
  await new Promise((settle) => setTimeout(settle, 200))
  listening.stdin?.end()
  return { sent, received: Number((await heard).replace('ready', '').trim()) }
}
