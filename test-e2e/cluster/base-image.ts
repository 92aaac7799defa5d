import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { chmod, copyFile, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { cacheFolder } from './binaries.ts'
import { type ImageConfig, readSingleLayer, sha256 } from './image-archive.ts'
import { run, type Say, succeeds } from './shell.ts'

const root = join(import.meta.dirname, '../..')
const nodeImage = 'docker.io/library/node:24-bookworm-slim'
const packages = 'ca-certificates,stress-ng,iproute2,nftables,iptables,procps'

/** The image without our programs: one layer, and the same unpacked. */
export type BaseImage = { layer: string; sha256: string; rootfs: string; config: ImageConfig }

/** Brings the Dockerfile's stage "base" by buildah, once for each version of what goes into it. */
export async function baseImage(say: Say): Promise<BaseImage> {
  const key = await baseKey()
  const folder = join(cacheFolder(), `base-image-${key}`)
  if (!existsSync(folder)) {
    const fresh = `${folder}.tmp`
    // Left by a build that was cut off; the caller's lock says that nobody is at it now.
    await rm(fresh, { recursive: true, force: true })
    await mkdir(fresh, { recursive: true })
    await makeBase(fresh, say)
    await rename(fresh, folder)
  }
  const about = JSON.parse(await readFile(join(folder, 'about.json'), 'utf8')) as {
    sha256: string
    config: ImageConfig
  }
  return { ...about, layer: join(folder, 'layer.tar'), rootfs: join(folder, 'rootfs') }
}

/** Changes with the Dockerfile's stages up to the base, and with the Node version. */
export async function baseKey(): Promise<string> {
  const dockerfile = await readFile(join(root, 'config/image/Dockerfile'), 'utf8')
  const hash = createHash('sha256').update(dockerfile.slice(0, dockerfile.lastIndexOf('FROM ')))
  hash.update(await readFile(join(nodePackage(), 'package.json')))
  return hash.digest('hex').slice(0, 12)
}

async function makeBase(folder: string, say: Say): Promise<void> {
  const storage = join(folder, 'storage')
  const buildah = (...args: string[]) =>
    run(
      'buildah',
      ['--root', storage, '--runroot', `${storage}-run`, '--storage-driver', 'vfs', ...args],
      { timeoutMs: 900_000, env: { BUILDAH_ISOLATION: 'chroot' } },
    )
  const archive = join(folder, 'archive.tar')
  try {
    await buildah('pull', '-q', nodeImage)
  } catch {
    say('no registry answers: making the base image out of Debian packages')
    await nodeImageFromDebian(folder, buildah, say)
  }
  say('building the image without our programs (once)')
  const file = join(root, 'config/image/Dockerfile')
  const args = ['--pull-never', '--target', 'base', '--layers=false', '-t', 'base', '-f', file]
  await buildah('bud', '-q', ...args, root)
  await buildah('push', '-q', 'base', `docker-archive:${archive}:localhost/base:1`)
  await rm(storage, { recursive: true, force: true })
  await rm(`${storage}-run`, { recursive: true, force: true })
  const parts = join(folder, 'parts')
  await mkdir(parts)
  const config = await readSingleLayer(archive, parts)
  const layer = join(folder, 'layer.tar')
  await rename(join(parts, 'layer.tar'), layer)
  await rm(parts, { recursive: true })
  await rm(archive)
  const rootfs = join(folder, 'rootfs')
  await mkdir(rootfs)
  await run('tar', ['-C', rootfs, '--numeric-owner', '-xpf', layer], { timeoutMs: 120_000 })
  await writeFile(
    join(folder, 'about.json'),
    JSON.stringify({ sha256: await sha256(layer), config }),
  )
}

type Buildah = (...args: string[]) => Promise<string>

/** What the official image is, out of Debian's own packages and Node's package of the npm registry. */
async function nodeImageFromDebian(folder: string, buildah: Buildah, say: Say): Promise<void> {
  const debian = join(folder, 'debian')
  say(
    'debootstrap: Debian 12 with stress-ng, iproute2, nftables, iptables, procps (about a minute)',
  )
  const limits = { timeoutMs: 900_000 }
  await run(
    'debootstrap',
    ['--variant=minbase', `--include=${packages}`, 'bookworm', debian],
    limits,
  )
  const node = join(debian, 'usr/local/bin/node')
  await copyFile(join(nodePackage(), 'bin/node'), node)
  await chmod(node, 0o755)
  // 127 MB with symbols, 108 MB without; strip comes with gcc and is not needed for anything else.
  await succeeds('strip', [node], 60_000)
  const container = (await buildah('from', 'scratch')).trim()
  await buildah('copy', '-q', container, debian, '/')
  const path = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
  await buildah('config', '--env', path, container)
  await buildah('commit', '-q', container, nodeImage)
  await buildah('rm', container)
  await rm(debian, { recursive: true, force: true })
}

function nodePackage(): string {
  return join(root, `node_modules/node-linux-${process.arch}`)
}
