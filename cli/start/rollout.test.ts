import { describe, expect, it } from 'vitest'
import { availability, type DeploymentSeen, type PodSeen, whyNotReady } from './rollout.ts'

const metadata = { name: 'hats', uid: 'u', resourceVersion: '1', generation: 2 }
const deployment = (status: DeploymentSeen['status'], replicas = 2): DeploymentSeen => ({
  metadata,
  spec: { replicas },
  ...(status ? { status } : {}),
})
const whole = { observedGeneration: 2, replicas: 2, updatedReplicas: 2, availableReplicas: 2 }

describe('a Deployment is complete', () => {
  const cases: [string, DeploymentSeen, boolean, string][] = [
    ['when all are available', deployment(whole), true, 'hats 2/2'],
    ['not before the controller saw it', deployment(undefined), false, 'hats 0/2'],
    [
      'not while an older spec is observed',
      deployment({ ...whole, observedGeneration: 1 }),
      false,
      'hats 2/2',
    ],
    ['not while one is missing', deployment({ ...whole, availableReplicas: 1 }), false, 'hats 1/2'],
    ['not while an old one is left', deployment({ ...whole, replicas: 3 }), false, 'hats 2/2'],
    ['with zero replicas', deployment({ observedGeneration: 2 }, 0), true, 'hats 0/0'],
  ]
  it.each(cases)('%s', (_, of, complete, text) => {
    expect(availability(of)).toEqual({ complete, text })
  })
})

describe('why a pod is not ready', () => {
  const pod = (status: PodSeen['status']): PodSeen => ({
    metadata,
    spec: {},
    ...(status ? { status } : {}),
  })
  const waiting = { reason: 'ImagePullBackOff', message: 'no such image' }
  const cases: [string, PodSeen, string][] = [
    ['nothing for a ready one', pod({ containerStatuses: [{ name: 'a', ready: true }] }), ''],
    [
      'the reason of the kubelet',
      pod({ containerStatuses: [{ name: 'a', ready: false, state: { waiting } }] }),
      'ImagePullBackOff (no such image)',
    ],
    [
      'the exit code of a crash',
      pod({
        containerStatuses: [
          { name: 'a', ready: false, lastState: { terminated: { exitCode: 1 } } },
        ],
      }),
      'not ready yet, ended before with code 1',
    ],
    [
      'the words of the scheduler',
      pod({ conditions: [{ type: 'PodScheduled', status: 'False', message: '0/2 nodes' }] }),
      '0/2 nodes',
    ],
  ]
  it.each(cases)('%s', (_, of, text) => expect(whyNotReady(of)).toBe(text))
})
