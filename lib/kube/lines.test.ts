import fc from 'fast-check'
import { expect, it } from 'vitest'
import { createLineCutter } from './lines.ts'

it('cuts the same lines wherever the chunks end, also inside a character', () => {
  const line = fc.string({ unit: 'grapheme' }).map((s) => s.replaceAll('\n', ''))
  fc.assert(
    fc.property(fc.array(line), fc.integer({ min: 1, max: 7 }), (lines, size) => {
      const bytes = Buffer.from(lines.map((l) => `${l}\n`).join(''))
      const cutter = createLineCutter(10_000)
      const cut: string[] = []
      for (let i = 0; i < bytes.length; i += size)
        cut.push(...cutter.push(bytes.subarray(i, i + size)))
      expect(cut).toEqual(lines)
      expect(cutter.rest()).toBe('')
    }),
  )
})

it('refuses a line that never ends', () => {
  const cutter = createLineCutter(8)
  cutter.push(Buffer.from('12345678'))
  expect(() => cutter.push(Buffer.from('9'))).toThrow('more than 8 bytes')
})

it('keeps the beginning of a line when the buffer it came in is used again', () => {
  const cutter = createLineCutter(100)
  const chunk = Buffer.from('abc')
  cutter.push(chunk)
  chunk.fill('x')
  expect(cutter.push(Buffer.from('d\n'))).toEqual(['abcd'])
})
