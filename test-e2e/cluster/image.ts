import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { type BundleSettings, bundle } from '../../config/image/bundle.ts'
import { baseImage, baseKey } from './base-image.ts'
import { cacheFolder } from './binaries.ts'
import { sha256Of, writeImageArchive } from './image-archive.ts'
import { waitForLock } from './lock.ts'
import { run, type Say, succeeds } from './shell.ts'

const root = join(import.meta.dirname, '../..')

/** The product's image as a docker archive. */
export type BuiltImage = { name: string; archive: string; built: boolean }

/** Bundles all programs and builds the image, by docker where it answers, else by buildah. */
export async function chaosplaneImage(
  say: Say,
  settings: BundleSettings = { crash: false },
): Promise<BuiltImage> {
  const dist = join(root, 'dist')
  const lock = await waitForLock('image', 900_000, () => say('waiting for another image build'))
  try {
    const programs = await bundle(dist, settings)
    return await imageOf(dist, programs, say)
  } finally {
    await lock.release()
  }
}

/** The image of a folder of bundled programs; nothing is done when it is in the cache. */
export async function imageOf(dist: string, programs: string[], say: Say): Promise<BuiltImage> {
  const content = await sha256Of(programs.toSorted().map((p) => join(dist, p)))
  const tag = `${await baseKey()}-${content.slice(0, 12)}`
  const name = `docker.io/local/chaosplane:${tag}`
  const folder = join(cacheFolder(), 'images')
  const archive = join(folder, `${tag}.tar`)
  if (existsSync(archive)) return { name, archive, built: false }
  await mkdir(folder, { recursive: true })
  if (await dockerAnswers()) await buildByDocker(name, archive)
  else await buildOnBase(dist, { name, archive }, say)
  await removeAllButNewest(folder, 6)
  return { name, archive, built: true }
}

/** Whether a docker daemon can be reached. */
export async function dockerAnswers(): Promise<boolean> {
  return await succeeds('docker', ['version', '--format', '{{.Server.Version}}'], 5_000)
}

async function buildByDocker(name: string, archive: string): Promise<void> {
  const limits = { timeoutMs: 900_000 }
  const file = join(root, 'config/image/Dockerfile')
  await run('docker', ['build', '-q', '-f', file, '-t', name, root], limits)
  await run('docker', ['save', '-o', `${archive}.tmp`, name], limits)
  await rename(`${archive}.tmp`, archive)
}

// The Dockerfile's last stage over an overlay mount: what lands in the upper folder is the layer. A second,
// where buildah copies the whole file system for each step. The mounts end with their namespace.
const lastStage = `
set -eu
rootfs=$1 dist=$2 work=$3
mkdir "$work/upper" "$work/work" "$work/merged"
mount -t overlay overlay -o "lowerdir=$rootfs,upperdir=$work/upper,workdir=$work/work" "$work/merged"
mkdir -p "$work/merged/app"
cp "$dist"/* "$work/merged/app/"
chmod 644 "$work/merged/app"/*
mount --rbind /dev "$work/merged/dev"
mount -t proc proc "$work/merged/proc"
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
  chroot "$work/merged" sh /app/warm.sh
rm "$work/merged/app/warm.sh"
`

async function buildOnBase(
  dist: string,
  image: { name: string; archive: string },
  say: Say,
): Promise<void> {
  const base = await baseImage(say)
  const work = await mkdtemp(join(cacheFolder(), 'layer-'))
  try {
    const args = ['--mount', '--net', '--propagation', 'private', 'sh', '-c', lastStage, 'sh']
    await run('unshare', [...args, base.rootfs, dist, work])
    const tar = join(work, 'layer.tar')
    const upper = join(work, 'upper')
    await run('tar', ['-C', upper, '--numeric-owner', '-cf', tar, 'app', 'var/cache/node'])
    const layers = [{ tar: base.layer, sha256: base.sha256 }, { tar }]
    await writeImageArchive({ ...image, config: base.config, layers })
  } finally {
    await rm(work, { recursive: true, force: true })
  }
}

/** Removes all entries of a folder but the `keep` that changed last. */
export async function removeAllButNewest(folder: string, keep: number): Promise<void> {
  const files = await Promise.all(
    (await readdir(folder)).map(async (name) => {
      const path = join(folder, name)
      return { path, changed: (await stat(path)).mtimeMs }
    }),
  )
  files.sort((a, b) => b.changed - a.changed)
  for (const old of files.slice(keep)) await rm(old.path, { recursive: true, force: true })
}
