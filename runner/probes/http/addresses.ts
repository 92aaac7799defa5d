import { type LookupAddress, type LookupOptions, lookup } from 'node:dns'
import { BlockList, isIP, isIPv6 } from 'node:net'

/** An address that probes must not reach from the runner. */
export class AddressRefused extends Error {
  constructor(address: string) {
    super(
      `${address} is a link-local address, where clouds hand out the node's credentials; probes may not ask there`,
    )
    this.name = 'AddressRefused'
  }
}

// Probes are written by users and sent by the runner: what only the node may read must not be read through it.
const linkLocal = new BlockList()
linkLocal.addSubnet('169.254.0.0', 16, 'ipv4')
linkLocal.addSubnet('fe80::', 10, 'ipv6')
linkLocal.addAddress('fd00:ec2::254', 'ipv6')

const isLinkLocal = (address: string): boolean =>
  linkLocal.check(address, isIPv6(address) ? 'ipv6' : 'ipv4')

/** Throws when the host of a URL is itself a refused address. */
export function checkHost(hostname: string): void {
  const bare = hostname.replace(/^\[(.*)\]$/, '$1')
  if (isIP(bare) && isLinkLocal(bare)) throw new AddressRefused(bare)
}

type Found = (error: Error | null, address: string | LookupAddress[], family?: number) => void

/** Name resolution as Node does it, except that refused addresses end the connection. */
export function checkedLookup(hostname: string, options: LookupOptions, found: Found): void {
  lookup(hostname, { ...options, all: true }, (error, addresses) => {
    if (error) return found(error, [])
    const refused = addresses.find(({ address }) => isLinkLocal(address))
    if (refused) return found(new AddressRefused(`${hostname} (${refused.address})`), [])
    const [first] = addresses
    if (options.all || !first) return found(null, addresses)
    found(null, first.address, first.family)
  })
}
