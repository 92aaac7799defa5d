import { spawnSync } from 'node:child_process'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { filterOf } from '../../../model/network.ts'
import { type Aim, matchesOf } from './matches.ts'
import { filterLines, masksOf } from './u32.ts'

it('values and masks of a range match its ports, each once, and no others', () => {
  const ports = fc.integer({ min: 1, max: 65_535 })
  fc.assert(
    fc.property(ports, ports, (one, other) => {
      const [low, high] = [Math.min(one, other), Math.max(one, other)]
      const masks = masksOf(`${low}-${high}`)
      const covered = masks.reduce((sum, { mask }) => sum + 65_536 - mask, 0)
      expect(covered).toBe(high - low + 1)
      for (const { value, mask } of masks) {
        expect(value & mask).toBe(value)
        expect(value).toBeGreaterThanOrEqual(low)
        expect(value + 65_535 - mask).toBeLessThanOrEqual(high)
      }
    }),
  )
})

const place = { device: 'lo', at: 'egress', pref: 100, pass: 'flowid :1', hit: 'flowid :2' }
const lines = (tunables: Record<string, string>, destinations: Aim['destinations'] = []) =>
  filterLines(matchesOf({ ...filterOf(tunables), destinations }), place).map((line) =>
    line.replace('filter add dev lo egress ', ''),
  )

const neighbours = [
  'pref 101 protocol ipv6 u32 match ip6 protocol 58 0xff match u8 0x84 0xfc at 40 flowid :1',
  'pref 101 protocol ipv6 u32 match ip6 protocol 58 0xff match u8 0x88 0xff at 40 flowid :1',
]

it('everything is IPv4 and IPv6, but for what finds neighbours', () => {
  expect(lines({})).toEqual([
    'pref 100 protocol ip u32 match u32 0 0 flowid :2',
    ...neighbours,
    'pref 101 protocol ipv6 u32 match u32 0 0 flowid :2',
  ])
})

it('a destination is of one family, and its ports are those of each protocol', () => {
  expect(lines({}, [{ family: 6, address: 'fd00::7', ports: [] }])).toEqual([
    ...neighbours,
    'pref 101 protocol ipv6 u32 match ip6 dst fd00::7 flowid :2',
  ])
  expect(lines({}, [{ family: 4, address: '10.0.0.7', ports: ['80-81'] }])[0]).toBe(
    'pref 100 protocol ip u32 match ip dst 10.0.0.7 match ip protocol 6 0xff match u16 0 0x1fff at 6 match ip dport 80 0xfffe flowid :2',
  )
})

const root = process.platform === 'linux' && process.getuid?.() === 0

it.runIf(root)('tc and the kernel take every shape of it', () => {
  const destinations: Aim['destinations'] = [
    { family: 4, address: '10.0.0.0/8', ports: ['80', '8000-8010'] },
    { family: 6, address: 'fd00::/8', ports: ['443'] },
    { family: 6, address: 'fd00::7', ports: [] },
  ]
  const all = [
    'qdisc add dev lo clsact',
    ...lines({ SOURCE_PORTS: '!53', DESTINATION_PORTS: '1-65535' }, destinations),
    ...lines({ SOURCE_PORTS: '!53' }),
  ].map((line) => line.replace(/^pref/, 'filter add dev lo egress pref'))
  const { status, stderr } = spawnSync('unshare', ['--net', 'tc', '-batch', '-'], {
    input: `${all.join('\n')}\n`,
    encoding: 'utf8',
  })
  expect(stderr).toBe('')
  expect(status).toBe(0)
})
