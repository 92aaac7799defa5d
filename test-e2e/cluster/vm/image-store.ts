import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, rename, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { removeAllButNewest } from '../image.ts'
import { waitForLock } from '../lock.ts'
import { run, type Say } from '../shell.ts'
import type { MachineImage } from './image.ts'

// The machine's own containerd, run here: unpacking is minutes of work inside. The mounts end with their namespace.
const importScript = `
set -eu
root=$1 store=$2
shift 2
mount --bind "$store" "$root/var/lib/containerd"
mount -t proc proc "$root/proc"
mount -t tmpfs run "$root/run"
mount -t tmpfs tmp "$root/tmp"
chroot "$root" containerd --log-level=warn &
daemon=$!
tries=0
until chroot "$root" ctr version >/dev/null 2>&1; do
  tries=$((tries + 1)); [ "$tries" -lt 200 ] || { echo "containerd does not answer" >&2; exit 1; }
  kill -0 "$daemon"; sleep 0.1
done
for archive; do chroot "$root" ctr -n k8s.io images import - <"$archive"; done
kill "$daemon"
wait "$daemon" || true
`

/** A disk with containerd's folder, these docker archives imported; made once for each set of them. */
export async function imageStore(
  image: MachineImage,
  archives: string[],
  say: Say,
): Promise<string> {
  const stores = join(dirname(image.disk), 'stores')
  const disk = join(stores, `${await keyOf(archives)}.img`)
  const lock = await waitForLock('vm-store', 300_000, () => say('waiting for another image import'))
  try {
    if (existsSync(disk)) return disk
    say('images for the machine')
    const work = join(stores, 'tmp')
    // left by an import that was cut off
    await rm(work, { recursive: true, force: true })
    await mkdir(join(work, 'containerd'), { recursive: true })
    const apart = ['--mount', '--pid', '--fork', '--kill-child', '--propagation', 'private']
    const given = ['sh', '-c', importScript, 'sh', image.root, join(work, 'containerd')]
    await run('unshare', [...apart, ...given, ...archives], { timeoutMs: 300_000 })
    const fresh = join(work, 'disk.img')
    const shape = ['-q', '-t', 'ext4', '-m', '0', '-E', 'lazy_itable_init=1,root_owner=0:0']
    const limits = { timeoutMs: 300_000 }
    await run('mke2fs', [...shape, '-d', join(work, 'containerd'), fresh, '4G'], limits)
    await rename(fresh, disk)
    await rm(work, { recursive: true })
    await removeAllButNewest(stores, 2)
    return disk
  } finally {
    await lock.release()
  }
}

async function keyOf(archives: string[]): Promise<string> {
  const hash = createHash('sha256')
  for (const archive of archives) {
    const { size, mtimeMs } = await stat(archive)
    hash.update(`${archive} ${size} ${mtimeMs}\n`)
  }
  return hash.digest('hex').slice(0, 12)
}
