import { isDeepStrictEqual } from 'node:util'
import { matches, parseSelector, selectorText } from '../../../model/label-selector.ts'
import { familyOf } from '../../../model/network.ts'
import { type PodNetworkPolicyParams, protocols } from './index.ts'

type Labels = Record<string, string>
type Port = { protocol: string; port: number; endPort?: number }
type Peer = { ipBlock: { cidr: string; except?: string[] } }
type Rule = { to?: Peer[]; from?: Peer[]; ports?: Port[] }

/** As much of a NetworkPolicy's spec as is written and read here. */
export type PolicySpec = {
  podSelector?: { matchLabels?: Labels; matchExpressions?: never[] }
  policyTypes?: string[]
  ingress?: Rule[]
  egress?: Rule[]
}

const everything = { 4: '0.0.0.0/0', 6: '::/0' } as const

const asNetwork = (address: string): string =>
  address.includes('/') ? address : `${address}/${familyOf(address) === 6 ? 128 : 32}`

/** Everybody but these: a policy can only allow. */
function everybodyBut(networks: readonly string[]): Peer[] {
  return ([4, 6] as const).flatMap((family) => {
    const except = networks.filter((n) => familyOf(n) === family).map(asNetwork)
    if (except.some((n) => n.endsWith('/0'))) return []
    const cidr = everything[family]
    return [{ ipBlock: { cidr, ...(except.length > 0 ? { except } : {}) } }]
  })
}

/** All ports but these, protocol by protocol. */
function allPortsBut(ports: PodNetworkPolicyParams['ports']): Port[] {
  return protocols.flatMap((protocol) => {
    const cut = ports
      .filter((p) => p.protocol === 'any' || p.protocol === protocol)
      .sort((a, b) => a.first - b.first)
    const allowed: Port[] = []
    let from = 1
    for (const { first, last } of [...cut, { first: 65_536, last: 65_536 }]) {
      if (first > from)
        allowed.push({ protocol, port: from, ...(first - 1 > from ? { endPort: first - 1 } : {}) })
      from = Math.max(from, last + 1)
    }
    return allowed
  })
}

/** What stays allowed when connections with `networks` (null: everybody) on the ports are to be cut. */
function rulesBut(
  networks: readonly string[] | null,
  ports: PodNetworkPolicyParams['ports'],
  side: 'to' | 'from',
): Rule[] {
  const rules: Rule[] = []
  const others = networks === null ? [] : everybodyBut(networks)
  if (others.length > 0) rules.push({ [side]: others })
  if (ports.length > 0) rules.push({ ports: allPortsBut(ports) })
  return rules
}

/** The policy that selects pods with these labels and allows all but what is to be cut. */
export function policySpec(
  matchLabels: Labels,
  { directions, ports }: PodNetworkPolicyParams,
  networks: readonly string[] | null,
): PolicySpec {
  const has = (direction: 'ingress' | 'egress'): boolean => directions.includes(direction)
  return {
    podSelector: { matchLabels },
    policyTypes: [...(has('ingress') ? ['Ingress'] : []), ...(has('egress') ? ['Egress'] : [])],
    ...(has('ingress') ? { ingress: rulesBut(networks, ports, 'from') } : {}),
    ...(has('egress') ? { egress: rulesBut(networks, ports, 'to') } : {}),
  }
}

/** The API server leaves out lists that are empty. */
const filled = ({ ingress = [], egress = [], ...spec }: PolicySpec) => ({
  ...spec,
  ingress,
  egress,
})

/** Whether two policies select and allow the same. */
export const saysTheSame = (one: PolicySpec, other: PolicySpec): boolean =>
  isDeepStrictEqual(filled(one), filled(other))

/** Whether a policy that is there selects a pod with these labels in one of the directions. */
export function governs(
  spec: PolicySpec,
  labels: Labels,
  directions: PodNetworkPolicyParams['directions'],
): boolean {
  const { podSelector = {}, policyTypes = ['Ingress'] } = spec
  const types = policyTypes.map((type) => type.toLowerCase())
  return (
    directions.some((d) => types.includes(d)) &&
    matches(parseSelector(selectorText(podSelector)), labels)
  )
}
