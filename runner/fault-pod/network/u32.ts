import type { Match, Matches } from './matches.ts'

type Family = 4 | 6
const numbers = { tcp: 6, udp: 17, sctp: 132 } as const

/** A range of ports as values with masks: the classifier knows no ranges. */
export function masksOf(range: string): { value: number; mask: number }[] {
  const [low = 0, high = low] = range.split('-').map(Number)
  const masks: { value: number; mask: number }[] = []
  for (let at = low; at <= high; ) {
    let size = at === 0 ? 65_536 : at & -at
    while (at + size - 1 > high) size /= 2
    masks.push({ value: at, mask: 65_536 - size })
    at += size
  }
  return masks
}

const hex = (number: number): string => `0x${number.toString(16)}`

/** Every way in which one match is written for one family; none when it is of the other family. */
function selectors({ to, ports }: Match, family: Family): string[] {
  if (to && to.family !== family) return []
  const name = family === 4 ? 'ip' : 'ip6'
  const where = to ? [`match ${name} dst ${to.address}`] : []
  if (!ports) return [[...where].join(' ')]
  // ports stand in the first fragment only: its offset, in the last 13 bits of that word, is 0
  const first = family === 4 ? ['match u16 0 0x1fff at 6'] : []
  const protocol = `match ${name} protocol ${numbers[ports.protocol]} 0xff`
  return ports.list
    .flatMap(masksOf)
    .map(({ value, mask }) =>
      [...where, protocol, ...first, `match ${name} ${ports.side} ${value} ${hex(mask)}`].join(' '),
    )
}

export type FilterPlace = {
  device: string
  /** where the filters hang: `egress`, or `parent c0de:` */
  at: string
  /** the first of two preferences that are ours: filters of one preference are of one protocol */
  pref: number
  /** what becomes of packets that are spared, and of those that are meant */
  pass: string
  hit: string
}

/** The selector of every packet. */
export const everything = 'match u32 0 0'

/** Neighbour discovery: the types 133 to 136 of ICMPv6. ARP is of neither protocol, and passes by itself. */
const neighbours = ['0x84 0xfc', '0x88 0xff'].map(
  (types) => `match ip6 protocol 58 0xff match u8 ${types} at 40`,
)

const isEverything = ({ to, ports }: Match): boolean => !to && !ports
/** Who is asked whether he is still there is asked at his own address, so a destination can mean neighbours too. */
const meansNeighbours = ({ to, ports }: Match): boolean => !ports && to?.family !== 4

/** Lines for `tc -batch`: filters that send the wanted packets one way and the spared ones another. */
export function filterLines(
  { spared, wanted }: Matches,
  { device, at, pref, pass, hit }: FilterPlace,
): string[] {
  const all = wanted.some(isEverything)
  const families: Family[] = [4, 6]
  return families.flatMap((family, place) => {
    const protocol = family === 4 ? 'ip' : 'ipv6'
    const line = (selector: string, then: string): string =>
      `filter add dev ${device} ${at} pref ${pref + place} protocol ${protocol} u32 ${selector} ${then}`
    const pick = (matches: readonly Match[]) => matches.flatMap((m) => selectors(m, family))
    return [
      ...(family === 6 && wanted.some(meansNeighbours) ? neighbours : []).map((selector) =>
        line(selector, pass),
      ),
      ...pick(spared).map((selector) => line(selector, pass)),
      ...(all ? [everything] : pick(wanted)).map((selector) => line(selector, hit)),
    ]
  })
}
