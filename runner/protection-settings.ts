import type { Caps } from '../model/caps.ts'
import type { MinHealthy } from '../model/min-healthy.ts'

/** What the chart says under `protection`. */
export type ProtectionSettings = {
  allowed: string[]
  denied: string[]
  caps: Caps
  minHealthy: MinHealthy
}

type Env = Record<string, string | undefined>

/** Without a word of the chart, as for a runner outside of the cluster, this much is protected. */
const defaultDenied = 'kube-system'

const dnsName = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/

function namespaces(env: Env, name: string, unset = ''): string[] {
  const written = (env[name] ?? unset)
    .split(',')
    .map((each) => each.trim())
    .filter((each) => each !== '')
  const bad = written.find((each) => !dnsName.test(each) || each.length > 63)
  if (bad !== undefined)
    throw new Error(`${name} must be names of namespaces separated by commas, got "${bad}"`)
  return written
}

/** 0 or nothing: no cap. */
function cap(env: Env, name: string, max: number): number | null {
  const text = env[name]?.trim() ?? ''
  const value = Number(text)
  if (!Number.isInteger(value) || value < 0 || value > max)
    throw new Error(`${name} must be a whole number from 0 (no cap) to ${max}, got "${text}"`)
  return value === 0 ? null : value
}

function minHealthy(env: Env): MinHealthy {
  const text = env['MIN_HEALTHY']?.trim() ?? ''
  const [, digits, sign] = /^(\d{1,6})(%?)$/.exec(text || '0') ?? []
  const value = Number(digits)
  if (digits === undefined || (sign === '%' && value > 100))
    throw new Error(
      `MIN_HEALTHY must be a number of pods or a percentage such as 50%, got "${text}"`,
    )
  if (value === 0) return null
  return sign === '%' ? { percent: value } : { pods: value }
}

/** Out of the runner's environment; a wrong one is refused by name. */
export const protectionFrom = (env: Env): ProtectionSettings => ({
  allowed: namespaces(env, 'ALLOWED_NAMESPACES'),
  denied: namespaces(env, 'DENIED_NAMESPACES', defaultDenied),
  caps: {
    perExperiment: cap(env, 'MAX_TARGETS_PER_EXPERIMENT', 1_000_000),
    percent: cap(env, 'MAX_TARGETS_PERCENT', 100),
    perCluster: cap(env, 'MAX_TARGETS_PER_CLUSTER', 1_000_000),
    percentOfCluster: cap(env, 'MAX_TARGETS_PERCENT_OF_CLUSTER', 100),
  },
  minHealthy: minHealthy(env),
})
