import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { chmod, copyFile, cp, mkdir, readdir, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { binariesFolder, binary, cacheFolder } from '../binaries.ts'
import { removeAllButNewest } from '../image.ts'
import { waitForLock } from '../lock.ts'
import { run, type Say } from '../shell.ts'

/** What every machine starts from; the disk is written to by nobody. */
export type MachineImage = {
  kernel: string
  initrd: string
  disk: string
  /** what is on the disk */
  root: string
}

const initrdInit = join(import.meta.dirname, 'guest/initrd-init')
const packages = [
  ...['busybox-static', 'conntrack', 'containerd', 'containernetworking-plugins', 'iproute2'],
  ...['iptables', 'kmod', 'nftables', 'procps', 'runc', 'socat'],
]
/** No such devices are in a virtual machine. */
const driversLeftOut =
  'gpu infiniband scsi nvme hv xen iommu nvdimm net/ethernet net/wireless'.split(' ')
const limits = { timeoutMs: 900_000 }

/** Kernel, initrd and root disk of a Debian with containerd, kubelet and kube-proxy; made once per recipe. */
export async function machineImage(say: Say): Promise<MachineImage> {
  const images = join(cacheFolder(), 'vm-images')
  const folder = join(images, await recipeKey())
  const lock = await waitForLock('vm-image', 900_000, () => say('waiting for another image build'))
  try {
    if (!existsSync(folder)) {
      const fresh = `${folder}.tmp`
      // left by a build that was cut off
      await rm(fresh, { recursive: true, force: true })
      await mkdir(fresh, { recursive: true })
      await build(fresh, say)
      await rename(fresh, folder)
      await removeAllButNewest(images, 3)
    }
  } finally {
    await lock.release()
  }
  const file = (name: string) => join(folder, name)
  return {
    kernel: file('kernel'),
    initrd: file('initrd'),
    disk: file('root.img'),
    root: file('root'),
  }
}

/** Changes with this file, with the first program that runs, and with Kubernetes' version. */
async function recipeKey(): Promise<string> {
  const hash = createHash('sha256').update(binariesFolder())
  for (const file of [import.meta.filename, initrdInit]) hash.update(await readFile(file))
  return hash.digest('hex').slice(0, 12)
}

async function build(folder: string, say: Say): Promise<void> {
  if (process.arch !== 'x64')
    throw new Error(`machines are made for x64 only, and this is ${process.arch}`)
  const root = join(folder, 'root')
  say('the machine, built once: Debian with containerd (debootstrap, about a minute)')
  const include = `--include=${packages.join(',')}`
  await run('debootstrap', ['--variant=minbase', include, 'bookworm', root], limits)
  await installPrograms(root)
  say('the machine: kernel')
  const version = await installKernel(folder, root)
  await makeInitrd(folder, root, version)
  await slim(root)
  say('the machine: disk')
  const shape = ['-q', '-t', 'ext4', '-m', '0', '-E', 'lazy_itable_init=1,root_owner=0:0']
  await run('mke2fs', [...shape, '-d', root, join(folder, 'root.img'), '4G'], limits)
  say('the machine is built')
}

async function installPrograms(root: string): Promise<void> {
  await mkdir(join(root, 'var/lib/containerd'), { recursive: true })
  for (const name of ['kubelet', 'kube-proxy'] as const) {
    await copyFile(binary(name), join(root, 'usr/bin', name))
    await chmod(join(root, 'usr/bin', name), 0o755)
  }
}

/** Unpacks the kernel beside the disk and its modules into it; it is not installed, as nothing boots by it. */
async function installKernel(folder: string, root: string): Promise<string> {
  const unpacked = join(folder, 'unpacked')
  await mkdir(unpacked)
  const name = await kernelPackage()
  // The sandbox user of apt may not write here.
  const get = `cd "$1" && apt-get -q -o APT::Sandbox::User=root download "$2" && dpkg -x ./*.deb .`
  await run('sh', ['-c', get, 'sh', unpacked, name], limits)
  const [version = ''] = await readdir(join(unpacked, 'lib/modules'))
  await rename(join(unpacked, 'boot', `vmlinuz-${version}`), join(folder, 'kernel'))
  const modules = join(root, 'lib/modules', version)
  await mkdir(join(root, 'lib/modules'), { recursive: true })
  await cp(join(unpacked, 'lib/modules', version), modules, { recursive: true })
  for (const drivers of driversLeftOut)
    await rm(join(modules, 'kernel/drivers', drivers), { recursive: true, force: true })
  await run('chroot', [root, 'depmod', version])
  await rm(unpacked, { recursive: true })
  return version
}

/** The package that Debian's own name for the newest cloud kernel stands for. */
async function kernelPackage(): Promise<string> {
  const ask = () => run('apt-cache', ['depends', 'linux-image-cloud-amd64'])
  const found = (text: string) => /Depends: (linux-image-\S+)/.exec(text)?.[1]
  const known = found(await ask().catch(() => ''))
  if (known) return known
  await run('apt-get', ['update', '-q'], limits)
  const name = found(await ask())
  if (name) return name
  throw new Error('apt knows no linux-image-cloud-amd64: add a Debian source to this machine')
}

/** busybox and, in the order in which they load, the modules that reach the root disk. */
async function makeInitrd(folder: string, root: string, version: string): Promise<void> {
  const tree = join(folder, 'tree')
  for (const name of ['bin', 'dev', 'mnt']) await mkdir(join(tree, name), { recursive: true })
  await copyFile(join(root, 'bin/busybox'), join(tree, 'bin/busybox'))
  await copyFile(initrdInit, join(tree, 'init'))
  const wanted = ['virtio_pci', 'virtio_blk', 'crc32c_generic', 'ext4']
  const order = await run('chroot', [
    root,
    ...['modprobe', '-S', version, '-a', '--show-depends', ...wanted],
  ])
  const paths = order.split('\n').flatMap((line) => /^insmod (\S+)/.exec(line)?.[1] ?? [])
  for (const [i, path] of [...new Set(paths)].entries())
    await copyFile(join(root, path), join(tree, `${100 + i}.ko`))
  const pack = 'cd "$1" && find . | ./bin/busybox cpio -o -H newc 2>/dev/null | gzip -1 >"$2"'
  await run('sh', ['-c', pack, 'sh', tree, join(folder, 'initrd')])
  await rm(tree, { recursive: true })
}

async function slim(root: string): Promise<void> {
  const share = ['doc', 'man', 'info', 'locale', 'i18n', 'zoneinfo'].map((f) => `usr/share/${f}`)
  const rest = ['var/cache/apt', 'var/lib/apt/lists', 'usr/lib/x86_64-linux-gnu/gconv', 'boot']
  for (const path of [...share, ...rest])
    await rm(join(root, path), { recursive: true, force: true })
}
