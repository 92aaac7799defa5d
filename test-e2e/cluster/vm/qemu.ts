import { symlink } from 'node:fs/promises'
import { join } from 'node:path'
import type { Layout } from '../local/layout.ts'
import type { Program } from '../processes.ts'
import { run, succeeds } from '../shell.ts'
import { ask } from './door.ts'
import type { MachineImage } from './image.ts'
import type { MachineLayout } from './layout.ts'

/** What the machine boots from, and its own disks: what differs from those that it begins with. */
export async function createDisks(
  { folder }: MachineLayout,
  image: MachineImage,
  store: string,
): Promise<void> {
  const at = (name: string) => join(folder, name)
  const shape = ['create', '-q', '-f', 'qcow2', '-F', 'raw', '-b']
  await run('qemu-img', [...shape, image.disk, at('root.qcow2')])
  await run('qemu-img', [...shape, store, at('store.qcow2')])
  for (const name of ['kernel', 'initrd'] as const) await symlink(image[name], at(name))
}

// All of the guest's time goes through one process: on a busy machine seconds there would become minutes. Where the
// kernel shares time between sessions, being nice counts within one of them only.
const favoured = 'echo -10 2>/dev/null >/proc/self/autogroup; exec nice -n -10 "$@"'

/** Two processors without KVM and 1 GB; up when a command can be run inside. */
export function machineProgram(layout: Layout, machine: MachineLayout): Program {
  const { name, folder, tap, mac, address } = machine
  const at = (name: string) => join(folder, name)
  const drive = (file: string, how: string) => ['-drive', `file=${file},if=virtio,${how}`]
  // On the HPET, the kernel's own choice here, the clock loses time whenever the process is stopped.
  const kernelArguments = 'console=ttyS0 quiet panic=1 mitigations=off tsc=reliable'
  return {
    command: 'sh',
    args: [
      ...['-c', favoured, 'sh', 'qemu-system-x86_64'],
      ...['-name', name, '-nodefaults', '-display', 'none', '-cpu', 'max', '-smp', '2'],
      ...['-m', '1024', '-accel', 'tcg,thread=multi,tb-size=512'],
      ...['-kernel', at('kernel'), '-initrd', at('initrd')],
      ...['-append', kernelArguments],
      ...['-serial', `file:${join(layout.folder, 'logs', `${name}.console.log`)}`],
      // What the guest has synced is there after a kill of the process; the rest of its writes is lost.
      ...drive(at('root.qcow2'), 'format=qcow2'),
      ...drive(at('node.tar'), 'format=raw,readonly=on'),
      ...drive(at('store.qcow2'), 'format=qcow2'),
      ...['-netdev', `tap,id=n,ifname=${tap},script=no,downscript=no`],
      ...['-device', `virtio-net-pci,netdev=n,romfile=,mac=${mac}`],
    ],
    ready: async () => {
      await succeeds('ip', ['link', 'set', tap, 'master', layout.bridge, 'up'])
      return await setClock(address)
    },
  }
}

/** Whether a command could be run; the clock that a machine boots with may be a second off. */
export async function setClock(address: string): Promise<boolean> {
  const { code } = await ask(address, `date -s @${Date.now() / 1000}`, { timeoutMs: 10_000 })
  return code === 0
}
