import { existsSync } from 'node:fs'
import { chmod, cp, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { cacheFolder } from './binaries.ts'
import { type ImageConfig, writeImageArchive } from './image-archive.ts'
import { waitForLock } from './lock.ts'
import { run } from './shell.ts'

/** The image of a pod's sandbox; containerd of a local node is told to take this one. */
export const pauseImage = 'docker.io/local/pause:1'

/** A shell with everyday tools for tests' pods. */
export const busyboxImage = 'docker.io/local/busybox:1'

/** Archives of the sandbox image and of busybox; made once per machine. */
export async function basicImages(): Promise<string[]> {
  const folder = join(cacheFolder(), 'basic-images-1')
  const archives = [join(folder, 'pause.tar'), join(folder, 'busybox.tar')]
  const lock = await waitForLock('basic-images', 120_000, () => {})
  try {
    if (!archives.every(existsSync)) {
      await mkdir(folder, { recursive: true })
      await makePause(folder)
      await makeBusybox(folder)
    }
    return archives
  } finally {
    await lock.release()
  }
}

const pauseProgram = `
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
static void leave(int s) { (void)s; _exit(0); }
static void reap(int s) { (void)s; while (waitpid(-1, 0, WNOHANG) > 0) {} }
int main(void) {
  signal(SIGTERM, leave); signal(SIGINT, leave); signal(SIGCHLD, reap);
  for (;;) pause();
}
`

async function makePause(folder: string): Promise<void> {
  const work = await mkdtemp(join(folder, 'tmp-'))
  await writeFile(join(work, 'pause.c'), pauseProgram)
  const rootfs = join(work, 'rootfs')
  await mkdir(rootfs)
  await run('gcc', ['-O2', '-static', '-s', '-o', join(rootfs, 'pause'), join(work, 'pause.c')])
  await pack(work, {
    archive: join(folder, 'pause.tar'),
    name: pauseImage,
    config: { Entrypoint: ['/pause'] },
  })
}

async function makeBusybox(folder: string): Promise<void> {
  const work = await mkdtemp(join(folder, 'tmp-'))
  const rootfs = join(work, 'rootfs')
  for (const f of ['bin', 'tmp', 'etc']) await mkdir(join(rootfs, f), { recursive: true })
  await chmod(join(rootfs, 'tmp'), 0o1777)
  await writeFile(join(rootfs, 'etc/passwd'), 'root:x:0:0:root:/root:/bin/sh\n')
  await cp('/bin/busybox', join(rootfs, 'bin/busybox'), { dereference: true })
  for (const applet of (await run('/bin/busybox', ['--list'])).trim().split('\n'))
    if (applet !== 'busybox') await symlink('busybox', join(rootfs, 'bin', applet))
  await pack(work, {
    archive: join(folder, 'busybox.tar'),
    name: busyboxImage,
    config: { Env: ['PATH=/bin'], Cmd: ['/bin/sh'] },
  })
}

async function pack(
  work: string,
  image: { archive: string; name: string; config: ImageConfig },
): Promise<void> {
  const tar = join(work, 'layer.tar')
  await run('tar', ['-C', join(work, 'rootfs'), '--owner=0', '--group=0', '-cf', tar, '.'])
  await writeImageArchive({ ...image, layers: [{ tar }] })
  await rm(work, { recursive: true })
}
