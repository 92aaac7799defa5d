import { expect, it } from 'vitest'
import { settingsFrom } from './settings.ts'

const pod = { POD_NAME: 'p', POD_NAMESPACE: 'n', IMAGE: 'i' }

it.each([
  ['POD_NAME', {}, /^POD_NAME is not set: /],
  [
    'a URL',
    { ...pod, KUBERNETES_INFRA_SERVICE_ENDPOINT: 'kserver' },
    /must be an http or https URL, got "kserver"$/,
  ],
  ['the mode of warm pods', { ...pod, WARM: 'hot' }, /^WARM must be one of none, idle, daemonset/],
  [
    'a pull secret',
    { ...pod, IMAGE_PULL_SECRETS: 'a,B!' },
    /^IMAGE_PULL_SECRETS must be names .* "B!"$/,
  ],
  ['the level', { ...pod, LOG_LEVEL: 'loud' }, /^LOG_LEVEL must be one of/],
])('refuses %s by name', (_what, env, message) => expect(() => settingsFrom(env)).toThrow(message))

it.each([
  ['a namespace', { DENIED_NAMESPACES: 'a,B!' }, /^DENIED_NAMESPACES must be names .* got "B!"$/],
  ['a cap', { MAX_TARGETS_PER_CLUSTER: '-1' }, /^MAX_TARGETS_PER_CLUSTER must be a whole number/],
  ['a percentage', { MAX_TARGETS_PERCENT: '101' }, /from 0 \(no cap\) to 100, got "101"$/],
  ['the least', { MIN_HEALTHY: 'half' }, /^MIN_HEALTHY must be .*, got "half"$/],
  ['a share', { MIN_HEALTHY: '101%' }, /got "101%"$/],
])('refuses %s of the protection by name', (_what, env, message) =>
  expect(() => settingsFrom({ ...pod, ...env })).toThrow(message),
)

it('takes the names of pull secrets', () => {
  expect(settingsFrom(pod).imagePullSecrets).toEqual([])
  const env = { ...pod, IMAGE_PULL_SECRETS: 'one, two.example' }
  expect(settingsFrom(env).imagePullSecrets).toEqual(['one', 'two.example'])
})

it('protects kube-system when nothing is said, and what is said otherwise', () => {
  const none = { perExperiment: null, percent: null, perCluster: null, percentOfCluster: null }
  expect(settingsFrom(pod).protection).toEqual({
    allowed: [],
    denied: ['kube-system'],
    caps: none,
    minHealthy: null,
  })
  expect(settingsFrom({ ...pod, DENIED_NAMESPACES: '' }).protection.denied).toEqual([])
  const env = {
    ALLOWED_NAMESPACES: 'demo, shop',
    MAX_TARGETS_PER_EXPERIMENT: '5',
    MAX_TARGETS_PERCENT: '50',
    MAX_TARGETS_PER_CLUSTER: '0',
    MAX_TARGETS_PERCENT_OF_CLUSTER: '10',
    MIN_HEALTHY: '50%',
  }
  expect(settingsFrom({ ...pod, ...env }).protection).toMatchObject({
    allowed: ['demo', 'shop'],
    caps: { perExperiment: 5, percent: 50, perCluster: null, percentOfCluster: 10 },
    minHealthy: { percent: 50 },
  })
})

it('takes the keys of the runner manifest', () => {
  const { harness } = settingsFrom({
    ...pod,
    KUBERNETES_INFRA_SERVICE_ENDPOINT: 'https://h/chaos/kserver/api/',
    LOG_SERVICE_ENDPOINT: 'https://h/log-service',
    ACCESS_KEY: 'key',
    LOG_SERVICE_TOKEN: 'token',
    ACCOUNT_ID: 'a',
    ORG_ID: 'o',
    PROJECT_ID: 'pr',
    ENVIRONMENT_ID: 'e',
    INFRA_ID: 'infra',
    HTTPS_PROXY: '',
    PROXY_URL: 'http://proxy:3128',
    SKIP_SECURE_VERIFY: 'true',
  })
  expect(harness).toMatchObject({
    infraId: 'infra',
    scope: {
      accountIdentifier: 'a',
      organizationIdentifier: 'o',
      projectIdentifier: 'pr',
      environmentIdentifier: 'e',
    },
    kserver: { baseUrl: 'https://h/chaos/kserver/api', accessKey: 'key' },
    logService: { baseUrl: 'https://h/log-service', token: 'token' },
    connection: { insecure: true, httpsProxy: 'http://proxy:3128' },
    secrets: ['key', 'token'],
  })
})

it('goes without peers that are not set or switched off', () => {
  const { harness } = settingsFrom({
    ...pod,
    LOG_SERVICE_ENDPOINT: 'http://x',
    LOG_SERVICE_ENABLED: 'false',
  })
  expect([harness.kserver, harness.logService]).toEqual([null, null])
})
