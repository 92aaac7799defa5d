import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Caller } from '../../../test-e2e/watchers/caller.ts'
import { datagrams } from '../../../test-e2e/watchers/datagrams.ts'
import { Hands } from '../../fault-pod/hands.ts'
import { cannotNetwork, PosedNetwork, Strike } from '../../fault-pod/testing/network.ts'
import type { Answer, Command } from '../node-fault.ts'
import { podNetworkLoss } from './index.ts'
import { podNetworkLossNode } from './node.ts'

const why = cannotNetwork()
let pod: PosedNetwork
let peer: PosedNetwork
let own: Caller
let other: Caller
let port = 30_000

/** A kernel that takes neither what is hooked to a device's egress nor netem; `make`: nor the newer iptables. */
class OlderKernel extends Hands {
  readonly #without: readonly string[]
  constructor(...without: string[]) {
    super('', process.env, [process.pid])
    this.#without = without
  }
  override ask(command: Command, input?: string): Answer {
    const text = `${command.join(' ')} ${input ?? ''}`
    const missing = command[0] === 'unshare' && this.#without.find((word) => text.includes(word))
    return missing
      ? { ok: false, stdout: '', stderr: `Operation not supported: ${missing}` }
      : super.ask(command, input)
  }
}

const strike = (env: Record<string, string>, hands?: Hands) =>
  new Strike(podNetworkLossNode, pod, {
    params: podNetworkLoss.fromLitmus(env, ''),
    mark: `run/task/1/${port}`,
    ...(hands ? { hands } : {}),
  })

const places = [
  'fd09::2 7001',
  'fd09::2 7101',
  'fd09::2 7150',
  'fd09::2 7002',
  'fd09::3 7001',
  '10.9.0.2 7001',
  '10.8.0.2 7001',
]

/** The places that answer to a datagram. */
async function answers(): Promise<string[]> {
  const said = await Promise.all(
    places.map((place) => {
      const [address = '', at] = place.split(' ')
      return own.ask(address, Number(at))
    }),
  )
  return places.filter((_, i) => said[i] === 'answered')
}

const send = (address: string, count: number, at = port++) =>
  datagrams({ pid: pod.pid, address: '' }, { pid: peer.pid, address }, { count, port: at })

describe.skipIf(why !== '')(`lost packets${why && ` (skipped: ${why})`}`, () => {
  beforeAll(async () => {
    ;[pod, peer] = await Promise.all([PosedNetwork.make(), PosedNetwork.make()])
    const addresses = {
      mine: ['10.9.0.1/24', 'fd09::1/64'],
      theirs: ['10.9.0.2/24', '10.9.0.3/24', 'fd09::2/64', 'fd09::3/64'],
    }
    pod.cable(peer, 'eth0', addresses)
    pod.cable(peer, 'net1', { mine: ['10.8.0.1/24'], theirs: ['10.8.0.2/24'] })
    ;[own, other] = [new Caller(pod.pid), new Caller(peer.pid)]
    for (const at of [7001, 7002, 7101, 7150]) expect(await other.listen(at)).toBe('listening')
    // a device that has just come up does not hear at once who asks for IPv6 neighbours
    for (let tries = 0; tries < 10 && (await answers()).length < places.length; tries++);
  })
  afterAll(() => {
    for (const one of [own, other, pod, peer]) one?.end()
  })

  const older = {
    'nftables, egress hook': undefined,
    'iptables-nft, match statistic': ['hook egress', 'netem'],
    'iptables-legacy, match statistic': ['hook egress', 'netem', 'iptables-nft'],
  }

  describe.each(Object.entries(older))('by %s', (facility, without) => {
    const by = (env: Record<string, string>) =>
      strike(env, without ? new OlderKernel(...without) : undefined)

    it('all of them, or the share that is asked for; and what was there before comes back', async () => {
      const before = pod.image()
      const whole = by({})
      expect(whole.facility).toBe(facility)
      whole.inject()
      const { sent, received: none } = await send('10.9.0.2', 200)
      expect(none).toBe(0)
      // only the device's own hook is silent
      expect(sent).toBe(facility.startsWith('nftables') ? 200 : 0)
      expect(await answers()).toEqual(['10.8.0.2 7001'])
      whole.revert()
      expect(await answers()).toEqual(places)
      const half = by({ NETWORK_PACKET_LOSS_PERCENTAGE: '50' })
      expect(half.inject()).toMatch(/: .* 0 packets so far$/)
      const { received } = await send('10.9.0.2', 1000)
      expect(received).toBeGreaterThan(350)
      expect(received).toBeLessThan(650)
      half.undoByScript()
      expect(pod.image()).toBe(before)
    })

    it('of the family, address and port that the filter names', async () => {
      const before = pod.image()
      const aimed = by({ DESTINATION_IPS: 'fd09::2|7001|7100-7200', DESTINATION_PORTS: '!7150' })
      aimed.inject()
      const lost = ['fd09::2 7001', 'fd09::2 7101']
      expect(await answers()).toEqual(places.filter((place) => !lost.includes(place)))
      aimed.revert()
      expect(pod.image()).toBe(before)
      expect(await answers()).toEqual(places)
    })

    it('of everything but a port that is spared, and the neighbours there are found', async () => {
      const spared = by({ DESTINATION_PORTS: '!7001' })
      spared.inject()
      pod.run('ip neigh flush dev eth0')
      peer.run('ip neigh flush dev eth0p')
      expect(await answers()).toEqual(places.filter((place) => / 7001$/.test(place)))
      spared.revert()
      expect(await answers()).toEqual(places)
    })

    it('to any of twenty destinations, on the interface that is named', async () => {
      const many = Array.from({ length: 20 }, (_, i) => `10.8.0.${i + 2}`).join(',')
      const aimed = by({ DESTINATION_IPS: many, NETWORK_INTERFACE: 'net1' })
      aimed.inject()
      expect(await answers()).toEqual(places.filter((place) => !place.startsWith('10.8')))
      aimed.revert()
      expect(await answers()).toEqual(places)
    })
  })
})
