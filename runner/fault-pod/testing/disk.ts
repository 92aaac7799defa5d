import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

function must(program: string, ...args: string[]): void {
  const { status, stderr } = spawnSync(program, args, { encoding: 'utf8' })
  if (status !== 0) throw new Error(`${program} ${args.join(' ')}: ${stderr}`)
}

/** A disk of 256 KiB; its rest is filled by `fill` and freed by `free`. */
export async function withDisk(
  work: (disk: string, fill: () => void, free: () => void) => Promise<void>,
): Promise<void> {
  const disk = mkdtempSync(join(tmpdir(), 'full-disk-'))
  must('mount', '-t', 'tmpfs', '-o', 'size=256k', 'none', disk)
  let made = 0
  const fill = (): void => {
    for (const bytes of [4096, 1])
      for (;;) {
        try {
          writeFileSync(join(disk, `filler-${made++}`), Buffer.alloc(bytes, 'x'))
        } catch {
          break
        }
      }
  }
  const free = (): void => {
    for (const name of readdirSync(disk).filter((one) => one.startsWith('filler-')))
      rmSync(join(disk, name))
  }
  try {
    await work(disk, fill, free)
  } finally {
    spawnSync('umount', ['-l', disk])
    rmSync(disk, { recursive: true, force: true })
  }
}

/** The folder becomes read-only for whoever comes by its name; what is open already stays so. */
export function readOnly(folder: string): () => void {
  must('mount', '--bind', folder, folder)
  must('mount', '-o', 'remount,bind,ro', folder)
  return () => must('umount', '-l', folder)
}
