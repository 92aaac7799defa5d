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
  ['the level', { ...pod, LOG_LEVEL: 'loud' }, /^LOG_LEVEL must be one of/],
])('refuses %s by name', (_what, env, message) => expect(() => settingsFrom(env)).toThrow(message))

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
