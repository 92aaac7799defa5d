import { createReadStream } from 'node:fs'
import { pipeline } from 'node:stream/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { createGzip } from 'node:zlib'
import { leaderName } from './endings.ts'
import type { Place } from './place.ts'
import type { Key, Sheet } from './sheet.ts'
import { memoryOf, ownRequests } from './traces.ts'

const idleSeconds = 30

/** Requests and memory while nothing runs. */
export async function idle(place: Place, sheet: Sheet, samples: number): Promise<void> {
  await place.audit.begin()
  const leader = await leaderName(place)
  for (let i = 0; i < samples; i++) {
    await delay((idleSeconds * 1000) / samples)
    for (const part of ['operator', 'runner', 'server'])
      for (const pod of place.podsOf('app.kubernetes.io/component', part)) {
        const waits = part === 'operator' && pod.metadata.name !== leader
        const key = (waits ? 'standby' : part) as Key & ('standby' | 'operator')
        const { rss, pss } = memoryOf(place.cluster.nodes, pod.metadata.uid)
        sheet.add(key, rss)
        sheet.add(`${key}-pss`, pss)
      }
  }
  const count = ownRequests(await place.audit.events())
  const all = [...count.values()].reduce((a, b) => a + b, 0)
  sheet.add('idle', all / idleSeconds)
  sheet.note(
    `requests in ${idleSeconds} idle seconds: ${[...count].map(([who, n]) => `${who} ${n}`).join(', ') || 'none'}`,
  )
}

/** Size of the image as a registry would hold it. */
export async function imageSize({ archive }: Place, sheet: Sheet): Promise<void> {
  let bytes = 0
  await pipeline(createReadStream(archive), createGzip(), async (parts) => {
    for await (const part of parts) bytes += part.length
  })
  sheet.add('image', bytes / 1e6)
}
