import { describe, expect, it } from 'vitest'
import { k8sPlan } from '../test-plans.ts'
import { k8sProbe } from './index.ts'

const refused = (inputs: object) =>
  k8sProbe.refuse(k8sPlan({ group: '', version: 'v1', resource: 'pods', ...inputs }).inputs)

// Admission asks for the right on what group and resource say: neither may be a way to somewhere else.
describe('a k8s probe', () => {
  it.each([
    [
      'a group that is a path',
      { group: '../api/v1/namespaces/other/secrets?x=' },
      'not an API group',
    ],
    ['a group that leads upwards', { group: '..' }, 'not an API group'],
    ['a group in capitals', { group: 'Apps' }, 'not an API group'],
    ['a resource that leads upwards', { resource: '..' }, 'not a resource'],
    ['a resource with a subresource', { resource: 'pods/log' }, 'not a resource'],
  ])('is refused with %s', (_name, inputs, why) => {
    expect(refused(inputs)).toMatchObject({
      code: 'K8S_PROBE_ERROR',
      reason: expect.stringContaining(why),
    })
  })

  it.each([
    [{}],
    [{ group: 'apps', resource: 'deployments' }],
    [{ group: 'k8s.cni.cncf.io', resource: 'network-attachment-definitions' }],
  ])('is taken with %j', (inputs) => {
    expect(refused(inputs)).toBeNull()
  })
})
