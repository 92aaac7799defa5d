import { spawnSync } from 'node:child_process'
import { expect, it } from 'vitest'
import { filterOf } from '../../../model/network.ts'
import { type Aim, matchesOf } from './matches.ts'
import { chainLines, countOf, egressTable } from './ruleset.ts'

const aimed = (tunables: Record<string, string>, destinations: Aim['destinations'] = []) =>
  matchesOf({ ...filterOf(tunables), destinations })

it('without a filter every packet is meant', () => {
  expect(chainLines(aimed({}), 'counter drop')).toEqual(['counter drop'])
})

it('what is spared passes before anything is dropped', () => {
  expect(chainLines(aimed({ DESTINATION_PORTS: '!22,8000-8010' }), 'drop')).toEqual([
    'tcp dport { 22, 8000-8010 } accept',
    'udp dport { 22, 8000-8010 } accept',
    'sctp dport { 22, 8000-8010 } accept',
    'drop',
  ])
})

it('lists name more packets, and ports of a destination fewer', () => {
  const destinations: Aim['destinations'] = [
    { family: 4, address: '10.0.0.0/8', ports: [] },
    { family: 6, address: 'fd00::7', ports: ['443'] },
  ]
  expect(chainLines(aimed({ SOURCE_PORTS: '8080' }, destinations), 'drop')).toEqual([
    'ip daddr 10.0.0.0/8 drop',
    'ip6 daddr fd00::7 tcp dport { 443 } drop',
    'ip6 daddr fd00::7 udp dport { 443 } drop',
    'ip6 daddr fd00::7 sctp dport { 443 } drop',
    'tcp sport { 8080 } drop',
    'udp sport { 8080 } drop',
    'sctp sport { 8080 } drop',
  ])
})

const root = process.platform === 'linux' && process.getuid?.() === 0

it.runIf(root)('nft and the kernel take every shape of it', () => {
  const destinations: Aim['destinations'] = [
    { family: 4, address: '10.0.0.0/8', ports: ['80', '8000-8010'] },
    { family: 6, address: 'fd00::/8', ports: [] },
  ]
  const filter = aimed({ SOURCE_PORTS: '!53', DESTINATION_PORTS: '80,443' }, destinations)
  const lines = chainLines(filter, 'numgen random mod 100 < 50 goto lose')
  const text = egressTable('chaosplane_test', 'lo', lines)
  const script = `nft -f - && nft -j list table netdev chaosplane_test && nft delete table netdev chaosplane_test && nft list tables`
  const { status, stdout, stderr } = spawnSync('unshare', ['--net', 'sh', '-c', script], {
    input: text,
    encoding: 'utf8',
  })
  expect(stderr).toBe('')
  expect(status).toBe(0)
  // five of every such table: where packets are lost, and what finds neighbours
  expect(countOf(stdout.trim())).toEqual({ rules: lines.length + 5, packets: 0 })
})
