import {
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'

/**
 * A capped folder for what waits for a peer that is away. Calls are synchronous on purpose: each is one small file,
 * and a text counts as kept only when the call has returned.
 */
export type Spill = {
  /** false: over the cap, or the disk refused; the caller still holds the text */
  put(name: string, text: string): boolean
  /** undefined: no such file, or it cannot be read any more */
  get(name: string): string | undefined
  remove(name: string): void
  /** names in order */
  list(): string[]
  readonly bytes: number
}

/** Opens (and makes) the folder; what a former process left in it counts. Half-written files are removed. */
export function openSpill(dir: string, maxBytes: number): Spill {
  mkdirSync(dir, { recursive: true, mode: 0o700 })
  const sizes = new Map<string, number>()
  let bytes = 0
  const forget = (name: string): void => {
    bytes -= sizes.get(name) ?? 0
    sizes.delete(name)
  }
  for (const name of readdirSync(dir)) {
    if (name.endsWith('.part')) rmSync(join(dir, name), { force: true })
    else {
      const { size } = statSync(join(dir, name))
      sizes.set(name, size)
      bytes += size
    }
  }
  return {
    get bytes() {
      return bytes
    },
    list: () => [...sizes.keys()].sort(),
    put(name, text) {
      const size = Buffer.byteLength(text)
      if (bytes - (sizes.get(name) ?? 0) + size > maxBytes) return false
      try {
        writeFileSync(join(dir, `${name}.part`), text, { mode: 0o600 })
        renameSync(join(dir, `${name}.part`), join(dir, name))
      } catch {
        rmSync(join(dir, `${name}.part`), { force: true })
        return false
      }
      forget(name)
      sizes.set(name, size)
      bytes += size
      return true
    },
    get(name) {
      if (!sizes.has(name)) return undefined
      try {
        return readFileSync(join(dir, name), 'utf8')
      } catch {
        return undefined
      }
    },
    remove(name) {
      forget(name)
      rmSync(join(dir, name), { force: true })
    },
  }
}
