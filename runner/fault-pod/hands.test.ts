import { expect, test } from 'vitest'
import { Hands } from './hands.ts'

const hands = () => new Hands('', { PATH: process.env['PATH'] })

test('a command that has not arrived in its target yet can be found and killed, by its own mark only', async () => {
  const own = hands()
  own.start(['sleep', '60'], 'a')
  own.start(['sleep', '60'], 'b')
  const [pid, ...more] = own.marked([], 'a')
  expect(more).toEqual([])
  own.kill(pid as number)
  await expect.poll(() => own.marked([], 'a')).toEqual([])
  const [other] = own.marked([], 'b')
  own.kill(other as number)
  await expect.poll(() => own.marked([], 'b')).toEqual([])
  await expect.poll(() => own.ended('a')).toContain('SIGKILL')
})

test('a command that cannot be started is nowhere', async () => {
  const own = hands()
  own.start(['/no/such/program'], 'a')
  expect(own.marked([], 'a')).toEqual([])
  await expect.poll(() => own.ended('a')).toContain('ENOENT')
})
