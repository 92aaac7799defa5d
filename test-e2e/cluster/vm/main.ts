import { basicImages } from '../basic-images.ts'
import { chaosplaneImage } from '../image.ts'
import { startLocalCluster } from '../local/cluster.ts'
import { addMachine, attachMachine, type Machine, type MachineComponent } from './machine.ts'

const usage = `usage: npm run vm -- up                        a cluster of one node and one machine, until Ctrl-C
       npm run vm -- run SCRIPT                as root in the machine
       npm run vm -- in|out FROM TO            copies a file
       npm run vm -- off|boot|reboot
       npm run vm -- kill|stop|start|pause|resume containerd|kubelet|kube-proxy
All but "up" find the machine by KUBECONFIG, which "up" prints.`

const started = performance.now()
const say = (line: string) =>
  console.log(`vm ${Math.round((performance.now() - started) / 1000)} s  ${line}`)

async function up(): Promise<void> {
  const image = await chaosplaneImage(say)
  const images = [...(await basicImages()), image.archive]
  say('making a cluster out of processes')
  const cluster = await startLocalCluster({ nodes: 1, images })
  try {
    const machine = await addMachine(cluster, { images, say })
    console.log(`node ${machine.name}, image ${image.name}; Ctrl-C ends both`)
    console.log(`export KUBECONFIG=${cluster.kubeconfig}`)
    const interrupted = Promise.withResolvers<void>()
    for (const signal of ['SIGINT', 'SIGTERM'] as const)
      process.once(signal, () => interrupted.resolve())
    const open = setInterval(() => {}, 60_000)
    await interrupted.promise
    clearInterval(open)
  } finally {
    await cluster.down()
  }
}

type Verb = (machine: Machine, ...args: string[]) => Promise<unknown>
const component =
  (verb: 'kill' | 'stop' | 'start' | 'pause' | 'resume'): Verb =>
  (machine, name) =>
    machine[verb](name as MachineComponent)

const verbs: Record<string, Verb> = {
  run: async (machine, script = '') => process.stdout.write(await machine.run(script)),
  in: (machine, from = '', to = '') => machine.copyIn(from, to),
  out: (machine, from = '', to = '') => machine.copyOut(from, to),
  off: (machine) => machine.powerOff(),
  boot: (machine) => machine.boot(),
  reboot: (machine) => machine.reboot(),
  kill: component('kill'),
  stop: component('stop'),
  start: component('start'),
  pause: component('pause'),
  resume: component('resume'),
}

const [name = '', ...args] = process.argv.slice(2)
const verb = verbs[name]
const kubeconfig = process.env['KUBECONFIG']
if (name === 'up') await up()
else if (verb && kubeconfig) await verb(attachMachine({ kubeconfig }), ...args)
else {
  console.error(usage)
  process.exitCode = 2
}
