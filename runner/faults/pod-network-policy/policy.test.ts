import { describe, expect, it } from 'vitest'
import type { Tunables } from '../../../model/fault.ts'
import { podNetworkPolicy } from './index.ts'
import { governs, policySpec } from './policy.ts'

const labels = { app: 'web' }
const specOf = (tunables: Tunables, networks: string[] | null = null) => {
  const params = podNetworkPolicy.fromLitmus(tunables, 'pod-network-policy')
  return policySpec(
    labels,
    params,
    networks ?? (params.networks.length > 0 ? params.networks : null),
  )
}
const all4 = (...except: string[]) => ({
  ipBlock: { cidr: '0.0.0.0/0', ...(except.length > 0 ? { except } : {}) },
})
const all6 = (...except: string[]) => ({
  ipBlock: { cidr: '::/0', ...(except.length > 0 ? { except } : {}) },
})

describe('what stays allowed', () => {
  it('nothing, when everybody is cut', () =>
    expect(specOf({})).toEqual({
      podSelector: { matchLabels: labels },
      policyTypes: ['Ingress', 'Egress'],
      ingress: [],
      egress: [],
    }))
  it('the other direction', () =>
    expect(specOf({ POLICY_TYPES: 'egress' })).toEqual({
      podSelector: { matchLabels: labels },
      policyTypes: ['Egress'],
      egress: [],
    }))
  it('everybody but those, in both families', () =>
    expect(
      specOf({ POLICY_TYPES: 'ingress', DESTINATION_IPS: '10.0.0.7, 10.1.0.0/16, fd00::1' }),
    ).toMatchObject({
      ingress: [{ from: [all4('10.0.0.7/32', '10.1.0.0/16'), all6('fd00::1/128')] }],
    }))
  it('only IPv6, when all of IPv4 is cut', () =>
    expect(specOf({ POLICY_TYPES: 'egress', DESTINATION_IPS: '0.0.0.0/0' }).egress).toEqual([
      { to: [all6()] },
    ]))
  it('all ports but those', () =>
    expect(
      specOf({ POLICY_TYPES: 'egress', PORTS: 'tcp: [443,80], udp: [1-65535]' }).egress,
    ).toEqual([
      {
        ports: [
          { protocol: 'TCP', port: 1, endPort: 79 },
          { protocol: 'TCP', port: 81, endPort: 442 },
          { protocol: 'TCP', port: 444, endPort: 65_535 },
          { protocol: 'SCTP', port: 1, endPort: 65_535 },
        ],
      },
    ]))
  it('others on every port, and those on other ports', () =>
    expect(
      specOf({ POLICY_TYPES: 'egress', DESTINATION_IPS: '10.0.0.7', PORTS: '65535' }).egress,
    ).toEqual([
      { to: [all4('10.0.0.7/32'), all6()] },
      {
        ports: ['TCP', 'UDP', 'SCTP'].map((protocol) => ({ protocol, port: 1, endPort: 65_534 })),
      },
    ]))
})

it.each([
  ['POLICY_TYPES', 'sideways'],
  ['POLICY_TYPES', 'egress,sideways'],
  ['DESTINATION_IPS', 'web.demo.svc'],
  ['POD_SELECTOR', 'a b'],
  ['PORTS', '0'],
  ['PORTS', '80-79'],
  ['PORTS', 'tcp: [80], icmp: [1]'],
])('%s %s is refused', (name, value) => expect(() => specOf({ [name]: value })).toThrow())

it.each([
  ['of the same labels', { podSelector: { matchLabels: labels } }, true],
  ['of the whole namespace', { podSelector: {}, policyTypes: ['Egress'] }, true],
  ['of other labels', { podSelector: { matchLabels: { app: 'db' } } }, false],
  [
    'of labels that the pod has not',
    { podSelector: { matchLabels: { ...labels, a: 'b' } } },
    false,
  ],
])('a policy %s governs the pod: %s', (_name, spec, expected) =>
  expect(governs(spec, labels, ['ingress', 'egress'])).toBe(expected),
)

it('a policy of the other direction does not', () =>
  expect(governs({ podSelector: {}, policyTypes: ['Ingress'] }, labels, ['egress'])).toBe(false))
