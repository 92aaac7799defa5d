import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { Caller } from '../../../test-e2e/watchers/caller.ts'
import { Hands } from '../../fault-pod/hands.ts'
import { cannotNetwork, PosedNetwork, Strike } from '../../fault-pod/testing/network.ts'
import type { Answer, Command } from '../node-fault.ts'
import { podNetworkPartition } from './index.ts'
import { podNetworkPartitionNode } from './node.ts'

const why = cannotNetwork()
/** the pod, whom it must lose, and whom it must keep; each with somebody who listens and calls */
let pod: PosedNetwork, peer: PosedNetwork, friend: PosedNetwork
let own: Caller, lost: Caller, kept: Caller
const at = {
  pod: { lost: '10.9.0.1', kept: '10.8.0.1', six: 'fd09::1' },
  lost: '10.9.0.2',
  lostSix: 'fd09::2',
  kept: '10.8.0.2',
}
const [web, db] = [8080, 5432]
let n = 0

/** A kernel without the egress hook. */
class OlderKernel extends Hands {
  override ask(command: Command, input?: string): Answer {
    if (command[0] === 'unshare' && input?.includes('hook egress'))
      return { ok: false, stdout: '', stderr: 'Operation not supported' }
    return super.ask(command, input)
  }
}

const kernels = {
  'nftables, ingress and egress hooks': () => new Hands('', process.env, [process.pid]),
  'nftables, family inet': () => new OlderKernel('', process.env, [process.pid]),
}

type Reach = Record<string, string>

/** New calls in both directions with both neighbours, and what those say who speak already. */
async function reach(open: boolean): Promise<Reach> {
  const round = String(n++)
  const calls: Record<string, Promise<string>> = {
    'pod calls lost': own.open(at.lost, web, `new ${round}`),
    'pod calls lost, db': own.open(at.lost, db, `db ${round}`),
    'pod calls lost by IPv6': own.open(at.lostSix, web, `six ${round}`),
    'pod asks lost': own.ask(at.lost, web),
    'pod calls kept': own.open(at.kept, web, `kept ${round}`),
    'lost calls pod': lost.open(at.pod.lost, web, `new ${round}`),
    'lost calls pod, db': lost.open(at.pod.lost, db, `db ${round}`),
    'lost calls pod by IPv6': lost.open(at.pod.six, web, `six ${round}`),
    'lost calls pod, closed port': lost.open(at.pod.lost, 9, `closed ${round}`),
    'lost asks pod': lost.ask(at.pod.lost, web),
    'kept calls pod': kept.open(at.pod.kept, web, `kept ${round}`),
    ...(open
      ? {
          'pod says to lost': own.say('old'),
          'lost says to pod': lost.say('old'),
          'pod says to kept': own.say('old kept'),
        }
      : {}),
  }
  const said = await Promise.all(Object.values(calls))
  return Object.fromEntries(Object.keys(calls).map((name, i) => [name, said[i] ?? '']))
}

const all: Reach = {
  'pod calls lost': 'connected',
  'pod calls lost, db': 'connected',
  'pod calls lost by IPv6': 'connected',
  'pod asks lost': 'answered',
  'pod calls kept': 'connected',
  'lost calls pod': 'connected',
  'lost calls pod, db': 'connected',
  'lost calls pod by IPv6': 'connected',
  'lost calls pod, closed port': 'ECONNREFUSED',
  'lost asks pod': 'answered',
  'kept calls pod': 'connected',
}
const speaking: Reach = {
  'pod says to lost': 'answered',
  'lost says to pod': 'answered',
  'pod says to kept': 'answered',
}

/** Everything works but these. */
const but = (...silent: string[]): Reach =>
  Object.fromEntries(
    Object.entries({ ...all, ...speaking }).map(([name, said]) => [
      name,
      silent.includes(name) ? 'silent' : said,
    ]),
  )

const theirs = [
  'lost calls pod',
  'lost calls pod, db',
  'lost calls pod, closed port',
  'lost asks pod',
  'lost says to pod',
]
const ours = ['pod calls lost', 'pod calls lost, db', 'pod asks lost', 'pod says to lost']
const six = ['pod calls lost by IPv6', 'lost calls pod by IPv6']

describe.skipIf(why !== '')(`cut connections${why && ` (skipped: ${why})`}`, () => {
  beforeAll(async () => {
    ;[pod, peer, friend] = await Promise.all([
      PosedNetwork.make(),
      PosedNetwork.make(),
      PosedNetwork.make(),
    ])
    pod.cable(peer, 'eth0', {
      mine: ['10.9.0.1/24', 'fd09::1/64'],
      theirs: ['10.9.0.2/24', 'fd09::2/64'],
    })
    pod.cable(friend, 'net1', { mine: ['10.8.0.1/24'], theirs: ['10.8.0.2/24'] })
    ;[own, lost, kept] = [new Caller(pod.pid), new Caller(peer.pid), new Caller(friend.pid)]
    for (const one of [own, lost, kept])
      expect(await Promise.all([one.listen(web), one.listen(db)])).toEqual([
        'listening',
        'listening',
      ])
  })
  afterAll(() => {
    for (const one of [own, lost, kept, pod, peer, friend]) one?.end()
  })

  beforeEach(async () => {
    // before the rules are there: who opened these is to be known all the same
    await own.open(at.lost, web, 'old')
    await lost.open(at.pod.lost, web, 'old')
    await own.open(at.kept, web, 'old kept')
    expect(await reach(true)).toEqual({ ...all, ...speaking })
  })

  it('pods by labels whose addresses nobody has found: everybody is spared', () => {
    const before = pod.image()
    const params = podNetworkPartition.fromLitmus({ POD_SELECTOR: 'app=lost' }, '')
    const asked = { params, mark: `m${n}`, hands: new Hands('', process.env, [process.pid]) }
    expect(() => new Strike(podNetworkPartitionNode, pod, asked)).toThrow(
      /could not be found out for/,
    )
    expect(pod.image()).toBe(before)
  })

  describe.each(Object.entries(kernels))('by %s', (facility, kernel) => {
    it.each<[string, Record<string, string>, string[]]>([
      ['both directions, one peer', { DESTINATION_IPS: at.lost }, [...ours, ...theirs]],
      ['egress', { DESTINATION_IPS: at.lost, POLICY_TYPES: 'egress' }, ours],
      ['ingress', { DESTINATION_IPS: at.lost, POLICY_TYPES: 'ingress' }, theirs],
      ['IPv6 only', { DESTINATION_IPS: 'fd09::/64' }, six],
      [
        'one port of whoever is called',
        { DESTINATION_IPS: '10.9.0.0/24', PORTS: `tcp: [${db}]` },
        ['pod calls lost, db', 'lost calls pod, db'],
      ],
      [
        'one port of one direction',
        { DESTINATION_IPS: `${at.lost}|${web}`, POLICY_TYPES: 'ingress' },
        ['lost calls pod', 'lost asks pod', 'lost says to pod'],
      ],
      [
        'everybody, egress',
        { POLICY_TYPES: 'egress' },
        [...ours, 'pod calls lost by IPv6', 'pod calls kept', 'pod says to kept'],
      ],
      [
        'everybody',
        {},
        [...ours, ...theirs, ...six, 'pod calls kept', 'kept calls pod', 'pod says to kept'],
      ],
      ['pods by labels', { POD_SELECTOR: 'app=lost' }, [...ours, ...theirs]],
    ])('%s', async (_, env, silent) => {
      const before = pod.image()
      const found = env['POD_SELECTOR'] ? { addresses: { demo: [at.lost] } } : {}
      const params = { ...podNetworkPartition.fromLitmus(env, ''), ...found }
      const strike = new Strike(podNetworkPartitionNode, pod, {
        params,
        mark: `m${n}`,
        hands: kernel(),
      })
      expect(strike.facility).toBe(facility)
      const evidence = strike.inject()
      const cut = await reach(true)
      strike.undoByScript()
      expect(evidence).toMatch(/; \d+ packets? so far$/)
      // behind the socket a cut datagram is refused: only the device's own hook is silent
      if (cut['pod asks lost'] === 'EPERM' && facility.endsWith('inet'))
        cut['pod asks lost'] = 'silent'
      expect(cut).toEqual(but(...silent))
      expect(pod.image()).toBe(before)
      expect(strike.revert()).toContain('no table')
      expect(await reach(false)).toEqual(all)
    })
  })
})
