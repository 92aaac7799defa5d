import { randomBytes } from 'node:crypto'
import { mkdir, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Lock, tryLock } from './lock.ts'
import { endRecorded } from './processes.ts'

/** A folder of one run; its owner holds a lock for as long as it lives. */
export type RunFolder = { path: string; lock: Lock }

/** A new folder `<tmp>/chaosplane-<kind>-<random>`; what dead owners of the same kind left is ended first. */
export async function newRunFolder(kind: string): Promise<RunFolder> {
  await sweep(kind)
  const name = `${kind}-${randomBytes(4).toString('hex')}`
  // Lock before folder: a sweep by somebody else must never see a folder whose owner it cannot see.
  const lock = await tryLock(name)
  if (!lock) throw new Error(`the name ${name} is taken; start again`)
  const path = join(tmpdir(), `chaosplane-${name}`)
  await mkdir(path)
  return { path, lock }
}

/** Ends what is written down in the folder, removes it, lets go of the lock. */
export async function removeRunFolder(run: RunFolder): Promise<void> {
  await endRecorded(run.path)
  await rm(run.path, { recursive: true, force: true })
  await run.lock.release()
}

async function sweep(kind: string): Promise<void> {
  const prefix = `chaosplane-${kind}-`
  for (const entry of await readdir(tmpdir())) {
    if (!entry.startsWith(prefix)) continue
    const lock = await tryLock(entry.slice('chaosplane-'.length))
    if (lock) await removeRunFolder({ path: join(tmpdir(), entry), lock })
  }
}
