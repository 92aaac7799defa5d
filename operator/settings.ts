import { type LogLevel, logLevel } from '../lib/log.ts'
import { pullSecretNames } from '../model/pull-secrets.ts'
import type { RecoveryImage } from './recovery/act.ts'

/** What the operator is told by its environment. */
export type OperatorEnvironment = {
  pod: string
  namespace: string
  logLevel: LogLevel
  healthPort: number
  /** what recovery pods are made from */
  image: RecoveryImage
  /** limit for `drain` */
  drainMs: number
  /** kubeconfig file for an operator outside of the cluster */
  kubeconfig: string | null
}

type Env = Record<string, string | undefined>

/** Settings out of the environment; what is wrong is said by name. */
export function settingsFrom(env: Env): OperatorEnvironment {
  return {
    pod: need(env, 'POD_NAME', 'it names this replica in the election; the chart sets it'),
    namespace: need(env, 'POD_NAMESPACE', 'the Leases are there; the chart sets it'),
    logLevel: logLevel(env['LOG_LEVEL']),
    healthPort: whole(env, 'HEALTH_PORT', { otherwise: 8081, least: 0, most: 65_535 }),
    image: {
      image: env['IMAGE'] ?? '',
      imagePullPolicy: pullPolicy(env['IMAGE_PULL_POLICY']),
      imagePullSecrets: pullSecretNames(env['IMAGE_PULL_SECRETS']),
      priorityClassName: env['PRIORITY_CLASS'] || null,
    },
    drainMs: whole(env, 'DRAIN_TIMEOUT_SECONDS', { otherwise: 120, least: 1, most: 86_400 }) * 1000,
    kubeconfig: env['KUBECONFIG'] || null,
  }
}

const pullPolicy = (text: string | undefined): RecoveryImage['imagePullPolicy'] =>
  text === 'Always' || text === 'Never' ? text : 'IfNotPresent'

function need(env: Env, name: string, why: string): string {
  const value = env[name]
  if (!value) throw new Error(`${name} is not set: ${why}`)
  return value
}

type Range = { otherwise: number; least: number; most: number }

function whole(env: Env, name: string, { otherwise, least, most }: Range): number {
  const text = env[name]
  if (text === undefined || text === '') return otherwise
  const value = Number(text)
  if (Number.isInteger(value) && value >= least && value <= most) return value
  throw new Error(`${name} must be a whole number from ${least} to ${most}, got "${text}"`)
}
