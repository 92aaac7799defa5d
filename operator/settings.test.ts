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
        imagePullSecrets: [],
        priorityClassName: null,
      },
      drainMs: 120_000,
      kubeconfig: null,
    })
  })

  test('say by which secrets recovery pods pull their image', () => {
    const { image } = settingsFrom({ ...env, IMAGE_PULL_SECRETS: 'one, two' })
    expect(image.imagePullSecrets).toEqual(['one', 'two'])
  })

  test.each([
    ['POD_NAME', { POD_NAME: '' }],
    ['POD_NAMESPACE', { POD_NAMESPACE: undefined }],
    ['HEALTH_PORT', { HEALTH_PORT: 'http' }],
    ['HEALTH_PORT', { HEALTH_PORT: '70000' }],
    ['DRAIN_TIMEOUT_SECONDS', { DRAIN_TIMEOUT_SECONDS: '-1' }],
    ['LOG_LEVEL', { LOG_LEVEL: 'loud' }],
    ['IMAGE_PULL_SECRETS', { IMAGE_PULL_SECRETS: 'one,Two!' }],
  ])('name %s when it is wrong', (name, change) => {
    expect(() => settingsFrom({ ...env, ...change })).toThrow(name)
  })
})
