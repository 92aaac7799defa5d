import { describe, expect, it } from 'vitest'
import type { Json } from '../../test-e2e/watchers/api.ts'
import { differences } from './leaks.ts'
import { type Objects, objectLines } from './left.ts'

/** A cluster as it is before the first experiment. */
const clean = (): Record<keyof Objects, Json[]> => ({
  experiments: [],
  leases: [
    { metadata: { namespace: 'kube-node-lease', name: 'node1' } },
    { metadata: { namespace: 'chaosplane', name: 'chaosplane-runner-chaosplane-runner-abc' } },
  ],
  policies: [
    { metadata: { namespace: 'demo', name: 'theirs' }, spec: { podSelector: {}, ingress: [] } },
  ],
  deployments: [
    {
      metadata: { namespace: 'demo', name: 'soak-0', labels: { app: 'soak-0' } },
      spec: { replicas: 1, template: { metadata: { labels: { app: 'soak-0' } } } },
    },
  ],
  nodes: [
    {
      metadata: { name: 'node1', labels: { 'kubernetes.io/hostname': 'node1' } },
      spec: { taints: [{ key: 'theirs', value: 'on', effect: 'PreferNoSchedule' }] },
    },
  ],
  pods: [
    { metadata: { namespace: 'demo', name: 'soak-0-abc', labels: { app: 'soak-0' } } },
    {
      metadata: {
        namespace: 'chaosplane',
        name: 'chaosplane-runner-abc',
        annotations: { 'chaos.chaosplane.io/anything': 'of the product itself' },
      },
    },
  ],
})

const mark = { 'chaos.chaosplane.io/mark': 'aa' }

const leaks: Record<string, [(all: ReturnType<typeof clean>) => void, RegExp[]]> = {
  'an experiment that is still there': [
    ({ experiments }) =>
      experiments.push({
        metadata: { namespace: 'v2', name: 'one', finalizers: ['chaos.chaosplane.io/run'] },
      }),
    [/^left: experiment v2\/one, marked chaos.chaosplane.io\/run$/],
  ],
  'a lease': [
    ({ leases }) => leases.push({ metadata: { namespace: 'chaosplane', name: 'slot-aa' } }),
    [/^left: lease chaosplane\/slot-aa$/],
  ],
  'the lease of a runner that has gone': [
    ({ leases }) =>
      leases.push({
        metadata: { namespace: 'chaosplane', name: 'chaosplane-runner-chaosplane-runner-old' },
      }),
    [/^left: lease chaosplane\/chaosplane-runner-chaosplane-runner-old$/],
  ],
  'a policy': [
    ({ policies }) =>
      policies.push({ metadata: { namespace: 'demo', name: 'ours', labels: mark }, spec: {} }),
    [/^left: policy demo\/ours: {}, marked chaos.chaosplane.io\/mark=aa$/],
  ],
  'a policy of somebody else that is gone': [
    ({ policies }) => void policies.pop(),
    [/^missing: policy demo\/theirs/],
  ],
  'a policy of somebody else that is another one': [
    ({ policies: [one] }) => void Object.assign(one.spec, { ingress: [{}] }),
    [/^missing: policy/, /^left: policy .*\[{}\]/],
  ],
  'other replicas': [
    ({ deployments: [one] }) => void Object.assign(one.spec, { replicas: 2 }),
    [/^missing: deployment demo\/soak-0 with 1 /, /^left: deployment demo\/soak-0 with 2 /],
  ],
  'a label on a workload': [
    ({ deployments: [one] }) => void Object.assign(one.metadata.labels, mark),
    [/^missing: deployment/, /^left: deployment .*, marked chaos.chaosplane.io\/mark=aa$/],
  ],
  'an annotation on a workload': [
    ({ deployments: [one] }) => void Object.assign(one.metadata, { annotations: mark }),
    [/^missing: deployment/, /^left: deployment .*, marked chaos.chaosplane.io\/mark=aa$/],
  ],
  'a label in the template of a workload': [
    ({ deployments: [one] }) => void Object.assign(one.spec.template.metadata.labels, mark),
    [/^missing: deployment/, /^left: deployment .*"chaos.chaosplane.io\/mark":"aa"/],
  ],
  'a taint': [
    ({ nodes: [one] }) => void one.spec.taints.push({ key: 'ours', effect: 'NoSchedule' }),
    [/^missing: node node1/, /^left: node node1, taints .*"ours"/],
  ],
  'a taint of somebody else that is gone': [
    ({ nodes: [one] }) => void one.spec.taints.pop(),
    [/^missing: node node1, taints .*"theirs"/, /^left: node node1, taints \[\]/],
  ],
  'a cordon': [
    ({ nodes: [one] }) => void Object.assign(one.spec, { unschedulable: true }),
    [/^missing: node/, /^left: node .* unschedulable true$/],
  ],
  'a label on a node': [
    ({ nodes: [one] }) => void Object.assign(one.metadata.labels, mark),
    [/^missing: node/, /^left: node .*, marked chaos.chaosplane.io\/mark=aa$/],
  ],
  'an annotation on a node': [
    ({ nodes: [one] }) => void Object.assign(one.metadata, { annotations: mark }),
    [/^missing: node/, /^left: node .*, marked chaos.chaosplane.io\/mark=aa$/],
  ],
  'a fault pod': [
    ({ pods }) =>
      pods.push({
        metadata: {
          namespace: 'chaosplane',
          name: 'one-1',
          labels: { 'chaos.chaosplane.io/part': 'fault-pod' },
        },
      }),
    [/^left: pod chaosplane\/one-1$/],
  ],
  'a label on a target': [
    ({ pods: [one] }) => void Object.assign(one.metadata.labels, mark),
    [/^left: pod of soak-0, marked chaos.chaosplane.io\/mark=aa$/],
  ],
}

describe('what experiments can leave on objects', () => {
  it.each(Object.entries(leaks))('%s is told', (_what, [change, told]) => {
    const after = clean()
    change(after)
    const lines = differences(objectLines(clean()), objectLines(after))
    expect(lines).toEqual(told.map((line) => expect.stringMatching(line)))
  })

  it('a target that came anew, and a runner, are nothing that is left', () => {
    const after = clean()
    for (const { metadata } of after.pods) metadata.name += '-anew'
    // as its Lease is, which is called by it
    for (const { metadata } of after.leases)
      if (metadata.namespace === 'chaosplane') metadata.name += '-anew'
    expect(differences(objectLines(clean()), objectLines(after))).toEqual([])
  })
})
