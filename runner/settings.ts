import type { ConnectionSettings } from '../lib/http.ts'
import { type LogLevel, logLevel } from '../lib/log.ts'
import { pullSecretNames } from '../model/pull-secrets.ts'
import { type WarmMode, warmModes } from '../model/warm-pod.ts'
import type { Scope } from '../model/wire/kserver.ts'
import { type ProtectionSettings, protectionFrom } from './protection-settings.ts'

export type RunnerSettings = {
  pod: string
  namespace: string
  image: string
  imagePullPolicy: string
  /** names, for all pods of the product's image */
  imagePullSecrets: string[]
  /** Deployment that owns the fault pods; empty: they have no owner */
  deployment: string
  defaultAccount: string
  priorityClass: string
  warm: WarmMode
  logLevel: LogLevel
  spillDir: string | null
  port: number
  /** kubeconfig file for a runner outside of the cluster */
  kubeconfig: string | null
  harness: HarnessSettings
  protection: ProtectionSettings
}

/** How the control plane is reached; the keys of the runner's Secret and ConfigMap. */
export type HarnessSettings = {
  infraId: string
  scope: Scope
  kserver: { baseUrl: string; accessKey: string } | null
  logService: { baseUrl: string; token: string } | null
  connection: ConnectionSettings
  secrets: string[]
}

type Env = Record<string, string | undefined>
const yes = (value: string | undefined): boolean => /^(true|1|yes)$/i.test(value ?? '')
const withoutSlash = (url: string): string => url.replace(/\/+$/, '')

function url(env: Env, names: string[]): string | null {
  const name = names.find((n) => env[n])
  const value = name && env[name]
  if (!value) return null
  if (!/^https?:\/\//.test(value) || !URL.canParse(value))
    throw new Error(`${name} must be an http or https URL, got "${value}"`)
  return withoutSlash(value)
}

function need(env: Env, name: string, why: string): string {
  const value = env[name]
  if (!value) throw new Error(`${name} is not set: ${why}`)
  return value
}

function harnessFrom(env: Env): HarnessSettings {
  const kserver = url(env, ['KUBERNETES_INFRA_SERVICE_ENDPOINT'])
  const logService =
    env['LOG_SERVICE_ENABLED'] === 'false'
      ? null
      : url(env, ['LOG_SERVICE_ENDPOINT', 'LOG_SERVICE_URL'])
  // The chart sends what is not set as empty text.
  const httpsProxy = env['HTTPS_PROXY'] || env['PROXY_URL']
  const accessKey = env['ACCESS_KEY'] ?? ''
  const token = env['LOG_SERVICE_TOKEN'] ?? ''
  return {
    infraId: env['INFRA_ID'] ?? '',
    scope: {
      environmentIdentifier: env['ENVIRONMENT_ID'] ?? '',
      accountIdentifier: env['ACCOUNT_ID'] ?? '',
      organizationIdentifier: env['ORG_ID'] ?? '',
      projectIdentifier: env['PROJECT_ID'] ?? '',
    },
    kserver: kserver ? { baseUrl: kserver, accessKey } : null,
    logService: logService ? { baseUrl: logService, token } : null,
    connection: {
      insecure: yes(env['SKIP_SECURE_VERIFY']) || yes(env['INSECURE_SKIP_VERIFY']),
      ...(env['HTTP_PROXY'] ? { httpProxy: env['HTTP_PROXY'] } : {}),
      ...(httpsProxy ? { httpsProxy } : {}),
      ...(env['NO_PROXY'] ? { noProxy: env['NO_PROXY'] } : {}),
    },
    secrets: [accessKey, token].filter((s) => s.length > 0),
  }
}

function warmMode(text = ''): WarmMode {
  const mode = text === '' ? 'none' : warmModes.find((one) => one === text)
  if (mode) return mode
  throw new Error(`WARM must be one of ${warmModes.join(', ')}, got "${text}"`)
}

/** Settings of the runner out of its environment; a wrong one is refused by name. */
export function settingsFrom(env: Env): RunnerSettings {
  return {
    pod: need(env, 'POD_NAME', 'the runner must know its own pod; the chart sets it by fieldRef'),
    namespace: need(env, 'POD_NAMESPACE', 'fault pods are created there; the chart sets it'),
    image: need(env, 'IMAGE', 'fault pods run the image of the product; the chart sets it'),
    imagePullPolicy: env['IMAGE_PULL_POLICY'] || 'IfNotPresent',
    imagePullSecrets: pullSecretNames(env['IMAGE_PULL_SECRETS']),
    deployment: env['RUNNER_DEPLOYMENT'] ?? '',
    defaultAccount: env['DEFAULT_SERVICE_ACCOUNT'] || 'chaosplane-experiment',
    priorityClass: env['PRIORITY_CLASS'] ?? '',
    warm: warmMode(env['WARM']),
    logLevel: logLevel(env['LOG_LEVEL']),
    spillDir: env['SPILL_DIR'] || null,
    port: Number(env['PORT'] ?? 8000),
    kubeconfig: env['KUBECONFIG'] || null,
    harness: harnessFrom(env),
    protection: protectionFrom(env),
  }
}
