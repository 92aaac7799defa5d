import { spawnSync } from 'node:child_process'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Caller } from '../../../test-e2e/watchers/caller.ts'
import { Hands } from '../../fault-pod/hands.ts'
import { cannotNetwork, PosedNetwork, Strike } from '../../fault-pod/testing/network.ts'
import type { Answer, Command } from '../node-fault.ts'
import { podNetworkLatency } from './index.ts'
import { podNetworkLatencyNode } from './node.ts'

const why = cannotNetwork()
const trial = ['--net', 'tc', 'qdisc', 'add', 'dev', 'lo', 'root', 'netem', 'delay', '1ms']
const hasNetem = why === '' && spawnSync('unshare', trial).status === 0

/** A kernel without netem. */
class Lean extends Hands {
  override ask(command: Command, input?: string): Answer {
    if (command.join(' ').includes('netem'))
      return { ok: false, stdout: '', stderr: 'Error: Specified qdisc kind is unknown.' }
    return super.ask(command, input)
  }
}

let pod: PosedNetwork
let peer: PosedNetwork
let own: Caller
let other: Caller
let n = 0

const strike = (env: Record<string, string>, hands?: Hands) =>
  new Strike(podNetworkLatencyNode, pod, {
    params: podNetworkLatency.fromLitmus({ NETWORK_LATENCY: '200ms', ...env }, ''),
    mark: `run/task/${n++}`,
    ...(hands ? { hands } : {}),
  })

const places = [
  ['10.9.0.2', 8080],
  ['10.9.0.2', 9000],
  ['10.9.0.3', 8080],
  ['fd09::2', 8080],
] as const

/** Which of the places are slow. */
async function slow(): Promise<string[]> {
  const found: string[] = []
  for (const [address, port] of places)
    if ((await own.trip(address, port)) >= 200) found.push(`${address} ${port}`)
  return found
}
const all = places.map(([address, port]) => `${address} ${port}`)

describe.skipIf(why !== '')(`delayed packets${why && ` (skipped: ${why})`}`, () => {
  beforeAll(async () => {
    ;[pod, peer] = await Promise.all([PosedNetwork.make(), PosedNetwork.make()])
    pod.cable(peer, 'eth0', {
      mine: ['10.9.0.1/24', 'fd09::1/64'],
      theirs: ['10.9.0.2/24', '10.9.0.3/24', 'fd09::2/64'],
    })
    ;[own, other] = [new Caller(pod.pid), new Caller(peer.pid)]
    for (const port of [8080, 9000]) expect(await other.listen(port)).toBe('listening')
    // A fresh IPv6 address is looked for on the link for a second before it answers.
    for (let tries = 0; tries < 30 && (await slow()).length > 0; tries++)
      await new Promise((done) => setTimeout(done, 100))
  })
  afterAll(() => {
    for (const one of [own, other, pod, peer]) one?.end()
  })

  it('without netem it is refused with the name of the module, and nothing is touched', async () => {
    const before = pod.image()
    expect(() => strike({}, new Lean('', process.env, [process.pid]))).toThrow(/sch_netem/)
    expect(pod.image()).toBe(before)
    expect(await slow()).toEqual([])
  })

  const roots = {
    "the kernel's own root": [],
    'a root that somebody made': [
      'tc qdisc add dev eth0 root handle 8001: tbf rate 10mbit burst 16kb latency 200ms',
    ],
  }

  describe.skipIf(!hasNetem).each(Object.entries(roots))('on %s', (_, commands) => {
    beforeAll(() => {
      for (const command of commands) pod.run(command)
    })

    it.each<[string, Record<string, string>, string[]]>([
      ['everything', {}, all],
      ['one address', { DESTINATION_IPS: '10.9.0.2' }, all.slice(0, 2)],
      ['IPv6 only', { DESTINATION_IPS: 'fd09::/64' }, all.slice(3)],
      [
        'a range of ports',
        { DESTINATION_PORTS: '8000-8999' },
        [...all.slice(0, 1), ...all.slice(2)],
      ],
      ['all ports but one', { DESTINATION_PORTS: '!8080' }, all.slice(1, 2)],
    ])('%s', async (_name, env, expected) => {
      const before = pod.image()
      const one = strike(env)
      expect(one.inject()).toContain('by 200 ms: netem')
      expect(await slow()).toEqual(expected)
      one.undoByScript()
      expect(pod.image()).toBe(before)
      expect(one.revert()).toContain('as they were')
      expect(await slow()).toEqual([])
    })
  })
})
