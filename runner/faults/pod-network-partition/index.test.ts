import { describe, expect, it } from 'vitest'
import { BadTunable } from '../../../model/fault.ts'
import { podNetworkPartition as fault } from './index.ts'

describe('what a cut is asked for', () => {
  it.each([
    ['', ['ingress', 'egress']],
    ['all', ['ingress', 'egress']],
    ['Egress', ['egress']],
    ['ingress', ['ingress']],
    ['egress, ingress', ['ingress', 'egress']],
  ])('POLICY_TYPES %s', (value, directions) => {
    expect(fault.fromLitmus({ POLICY_TYPES: value }, '')).toMatchObject({ directions })
  })

  it.each([
    ['80, 443', [{ protocol: 'any', list: ['80', '443'] }]],
    ['8000-8010', [{ protocol: 'any', list: ['8000-8010'] }]],
    [
      'tcp: [8080,80], udp: [9000,90]',
      [
        { protocol: 'tcp', list: ['8080', '80'] },
        { protocol: 'udp', list: ['9000', '90'] },
      ],
    ],
    ['sctp:[7]', [{ protocol: 'sctp', list: ['7'] }]],
  ])('PORTS %s', (value, ports) => {
    expect(fault.fromLitmus({ PORTS: value }, '')).toMatchObject({ ports })
  })

  it.each([
    ['POLICY_TYPES', 'out'],
    ['POLICY_TYPES', 'egress,egress,x'],
    ['PORTS', 'http'],
    ['PORTS', 'tcp: 80'],
    ['PORTS', 'icmp: [8]'],
    ['PORTS', 'tcp: [0]'],
    ['POD_SELECTOR', 'app=web,,'],
    ['NAMESPACE_SELECTOR', 'team in shop'],
  ])('refuses %s %s', (name, value) => {
    expect(() => fault.fromLitmus({ [name]: value }, '')).toThrow(BadTunable)
  })

  it('names pods by labels', () => {
    const env = { POD_SELECTOR: 'app in (web, db)', NAMESPACE_SELECTOR: 'team=shop' }
    expect(fault.fromLitmus(env, '')).toMatchObject({
      destinations: [],
      peers: { pods: 'app in (web, db)', namespaces: 'team=shop' },
    })
    expect(fault.fromLitmus({}, '')).toMatchObject({ peers: null })
  })

  it('in the other dialect says with whom', () => {
    expect(
      fault.fromChaosplane({ target_cidr: '10.0.0.0/8, fd00::7', direction: 'egress' }, ''),
    ).toEqual({
      directions: ['egress'],
      destinations: [
        { host: '10.0.0.0/8', ports: [] },
        { host: 'fd00::7', ports: [] },
      ],
      peers: null,
      ports: [],
    })
    expect(() => fault.fromChaosplane({}, '')).toThrow(/missing/)
  })
})
