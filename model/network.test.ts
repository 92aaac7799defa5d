import { describe, expect, it } from 'vitest'
import { BadTunable } from './fault.ts'
import { filterOf, networkFilter } from './network.ts'

describe('a network filter', () => {
  it('reads what users write', () => {
    const filter = filterOf({
      NETWORK_INTERFACE: ' ens5 ',
      DESTINATION_IPS: '10.0.0.7|8080|9090, fd00::/8 ,192.168.0.0/16',
      DESTINATION_HOSTS: 'shop.demo.svc.cluster.local|443,cache',
      SOURCE_PORTS: '80, 8000-8010',
      DESTINATION_PORTS: '!22, 53',
    })
    expect(filter).toEqual({
      interface: 'ens5',
      destinations: [
        { host: '10.0.0.7', ports: ['8080', '9090'] },
        { host: 'fd00::/8', ports: [] },
        { host: '192.168.0.0/16', ports: [] },
        { host: 'shop.demo.svc.cluster.local', ports: ['443'] },
        { host: 'cache', ports: [] },
      ],
      sourcePorts: { list: ['80', '8000-8010'], except: false },
      destinationPorts: { list: ['22', '53'], except: true },
    })
    expect(networkFilter.parse(filter)).toEqual(filter)
  })

  it.each([
    ['NETWORK_INTERFACE', 'eth0,eth1'],
    ['NETWORK_INTERFACE', 'eth0"; drop'],
    ['DESTINATION_IPS', 'shop.example.com'],
    ['DESTINATION_IPS', '10.0.0.256'],
    ['DESTINATION_IPS', '10.0.0.0/33'],
    ['DESTINATION_IPS', '10.0.0.1 accept'],
    ['DESTINATION_IPS', '10.0.0.1|http'],
    ['DESTINATION_HOSTS', '-shop'],
    ['DESTINATION_HOSTS', 'shop;reboot'],
    ['SOURCE_PORTS', '0'],
    ['SOURCE_PORTS', '70000'],
    ['SOURCE_PORTS', '90-80'],
    ['DESTINATION_PORTS', '!'],
    ['DESTINATION_PORTS', '80 }'],
  ])('refuses %s %s', (name, value) => {
    expect(() => filterOf({ [name]: value })).toThrow(BadTunable)
  })
})
