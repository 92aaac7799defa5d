import { describe, expect, test } from 'vitest'
import { settingsFrom } from './settings.ts'

const env = { POD_NAME: 'p', POD_NAMESPACE: 'n' }

describe('settings', () => {
  test('have defaults for all but the place', () => {
    expect(settingsFrom(env)).toEqual({
      pod: 'p',
      namespace: 'n',
      logLevel: 'info',
      healthPort: 8081,
      image: {
        image: '',
        imagePullPolicy: 'IfNotPresent',
        priorityClassName: null,
      },
      drainMs: 120_000,
      kubeconfig: null,
    })
  })

  test.each([
    ['POD_NAME', { POD_NAME: '' }],
    ['POD_NAMESPACE', { POD_NAMESPACE: undefined }],
    ['HEALTH_PORT', { HEALTH_PORT: 'http' }],
    ['HEALTH_PORT', { HEALTH_PORT: '70000' }],
    ['DRAIN_TIMEOUT_SECONDS', { DRAIN_TIMEOUT_SECONDS: '-1' }],
    ['LOG_LEVEL', { LOG_LEVEL: 'loud' }],
  ])('name %s when it is wrong', (name, change) => {
    expect(() => settingsFrom({ ...env, ...change })).toThrow(name)
  })
})
