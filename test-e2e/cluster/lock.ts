import { createServer, type Server } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'

/** A lock that the kernel takes back when its holder dies, however it dies. */
export type Lock = { release(): Promise<void> }

/** Takes the named lock, or returns undefined when a living process holds it. */
export async function tryLock(name: string): Promise<Lock | undefined> {
  // An abstract socket has no file: a crash leaves nothing that a later start could take for a holder.
  const server = await listen(`\0chaosplane-${name}`)
  if (!server) return undefined
  server.unref()
  return {
    release: () => new Promise((done) => server.close(() => done())),
  }
}

/** Waits for the named lock; `onWait` is told once that somebody else holds it. */
export async function waitForLock(
  name: string,
  limitMs: number,
  onWait: () => void,
): Promise<Lock> {
  const tries = Math.ceil(limitMs / 200)
  for (let i = 0; i < tries; i++) {
    const lock = await tryLock(name)
    if (lock) return lock
    if (i === 0) onWait()
    await delay(200)
  }
  throw new Error(`lock "${name}" is still held after ${limitMs / 1000} s; end the other run first`)
}

function listen(path: string): Promise<Server | undefined> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.destroy())
    server.once('error', (e: NodeJS.ErrnoException) =>
      e.code === 'EADDRINUSE' ? resolve(undefined) : reject(e),
    )
    server.listen(path, () => resolve(server))
  })
}
