import { existsSync } from 'node:fs'
import { chmod, mkdir, mkdtemp, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { cacheFolder } from './binaries.ts'
import { writeImageArchive } from './image-archive.ts'
import { waitForLock } from './lock.ts'
import { run, type Say } from './shell.ts'

/** SIG Network's own enforcer of NetworkPolicies: nftables hands first packets to a program, which judges them. */
const enforcer = { package: 'sigs.k8s.io/kube-network-policies/cmd', version: 'v0.8.0' }

export const enforcerImage = `docker.io/local/kube-network-policies:${enforcer.version}`

/** A docker archive with the enforcer, built out of its Go module once per version: a minute or three. */
export async function enforcerArchive(say: Say): Promise<string> {
  const folder = join(cacheFolder(), `enforcer-${enforcer.version}`)
  const archive = join(folder, 'enforcer.tar')
  const lock = await waitForLock('enforcer', 900_000, () =>
    say('waiting for another build of the enforcer'),
  )
  try {
    if (existsSync(archive)) return archive
    await mkdir(folder, { recursive: true })
    const work = await mkdtemp(join(folder, 'tmp-'))
    try {
      say('building the enforcer of NetworkPolicies, once')
      await build(work, archive)
    } finally {
      await rm(work, { recursive: true, force: true })
    }
    return archive
  } finally {
    await lock.release()
  }
}

async function build(work: string, archive: string): Promise<void> {
  const rootfs = join(work, 'rootfs')
  await mkdir(rootfs)
  const target = `${enforcer.package}@${enforcer.version}`
  const env = { CGO_ENABLED: '0', GOBIN: work }
  await run('go', ['install', '-trimpath', '-ldflags', '-s -w', target], {
    timeoutMs: 800_000,
    env,
  })
  // Go calls a program by its folder.
  await rename(join(work, 'cmd'), join(rootfs, 'enforcer'))
  await chmod(join(rootfs, 'enforcer'), 0o755)
  const tar = join(work, 'layer.tar')
  await run('tar', ['-C', rootfs, '--owner=0', '--group=0', '-cf', tar, '.'])
  // The only signal at which it takes its rules away.
  const config = { Entrypoint: ['/enforcer'], StopSignal: 'SIGINT' }
  await writeImageArchive({ archive, name: enforcerImage, config, layers: [{ tar }] })
}
