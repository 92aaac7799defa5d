import { expect, it } from 'vitest'
import { fixture } from './fixtures.ts'
import { encodeLogLine, logTime, receivedLogLines } from './log-service.ts'

const published = fixture('log-service-stream.request.json')

it('writes a line byte for byte as published', () => {
  const args = { PodName: 'pod-delete-wm3-d6moyr-vwkng', PodNamespace: 'v2' }
  const line = encodeLogLine({
    args,
    time: logTime(Date.UTC(2025, 4, 1, 17, 27, 56, 999)),
    out: '[Start]: pod-delete FAULT START',
    pos: 1,
    level: 'info',
  })
  expect(`[${line}]`).toBe(JSON.stringify(JSON.parse(published)))
})

it('reads the published lines, and lines without position or with null arguments', () => {
  expect(receivedLogLines.parse(JSON.parse(published))[0]?.pos).toBe(1)
  expect(
    receivedLogLines.parse([
      { out: 'x', args: null },
      { out: 'y', args: { n: 1 } },
    ]),
  ).toEqual([
    { level: 'info', pos: 0, out: 'x', time: '', args: {} },
    { level: 'info', pos: 0, out: 'y', time: '', args: { n: '1' } },
  ])
})
