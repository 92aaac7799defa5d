import { expect, it } from 'vitest'
import { isDead, type Known, type ReplicaPod } from './holders.ts'

const pod = (name: string, state: object, phase = 'Running'): ReplicaPod => ({
  metadata: { name, uid: name, resourceVersion: '1' },
  status: { phase, containerStatuses: [{ state }] },
})
const me = 'b/2'
const running = { running: {} }

it.each<[string, string, Known, boolean]>([
  ['lives while its program runs', 'a/1', pod('a', running), false],
  ['is dead when its program has ended', 'a/1', pod('a', { terminated: {} }), true],
  ['is dead while its program waits to be begun again', 'a/1', pod('a', { waiting: {} }), true],
  ['is dead when its pod was taken away', 'a/1', 'deleted', true],
  ['is dead when its pod was evicted', 'a/1', pod('a', running, 'Failed'), true],
  ['lives as far as is known when its pod was never seen', 'a/1', undefined, false],
  ['is dead when it is an earlier life of our own pod', 'b/1', pod('b', running), true],
  ['is not dead when it is we', me, 'deleted', false],
])('the holder of the lease %s', (_, holder, seen, dead) => {
  expect(isDead(holder, me, seen)).toBe(dead)
})
