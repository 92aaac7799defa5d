import { describe, expect, it } from 'vitest'
import type { NodeOrder } from './fault-pod.ts'
import { type FaultPodParts, faultPod, journalFolder, labelValue } from './fault-pod-spec.ts'

const order: NodeOrder = {
  protocol: 1,
  cluster: 'c-uid',
  node: 'node-1',
  run: 'run-1',
  task: 'pod-cpu-hog-abc',
  resource: { kind: 'ChaosExperiment', namespace: 'demo', name: 'one', uid: 'r-uid' },
  fault: 'pod-cpu-hog',
  params: { workers: 1, loadPercent: 100 },
  targets: [],
  holdMs: 30_000,
  start: 'now',
  attempt: 2,
  after: 0,
  armedForMs: 60_000,
}

const parts = (more: Partial<FaultPodParts> = {}): FaultPodParts => ({
  name: 'fault-1',
  namespace: 'chaosplane',
  order,
  image: 'chaosplane:1',
  imagePullPolicy: 'IfNotPresent',
  imagePullSecrets: [],
  capabilities: ['SYS_PTRACE'],
  settings: {},
  reserve: true,
  owner: null,
  priorityClassName: null,
  ...more,
})

type Pod = {
  metadata: Record<string, Record<string, string>> & { ownerReferences?: unknown }
  spec: Record<string, unknown> & { containers: Record<string, unknown>[]; tolerations: unknown[] }
}
const made = (more: Partial<FaultPodParts> = {}): Pod => faultPod(parts(more)) as Pod

describe('the fault pod', () => {
  it('mounts nothing, holds no token, and is not ended by kubelet before it has reverted', () => {
    const { spec } = made()
    expect(spec).toMatchObject({
      nodeName: 'node-1',
      hostPID: true,
      restartPolicy: 'OnFailure',
      automountServiceAccountToken: false,
      enableServiceLinks: false,
    })
    for (const absent of [
      'volumes',
      'activeDeadlineSeconds',
      'serviceAccountName',
      'shareProcessNamespace',
    ])
      expect(spec).not.toHaveProperty(absent)
    expect(spec['terminationGracePeriodSeconds']).toBeGreaterThanOrEqual(2)
  })

  it('is never privileged and has only the capabilities of the fault', () => {
    for (const container of made().spec.containers) {
      expect(container['securityContext']).toMatchObject({
        privileged: false,
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        capabilities: { drop: ['ALL'], add: ['SYS_PTRACE'] },
      })
    }
  })

  it('asks for a little CPU and memory, without limits, so that a full node does not starve its revert', () => {
    const [program, guard] = made().spec.containers
    expect(program?.['resources']).toEqual({ requests: { cpu: '50m', memory: '48Mi' } })
    expect(guard?.['resources']).toEqual({ requests: { cpu: '50m', memory: '16Mi' } })
    for (const container of made({ reserve: false }).spec.containers)
      expect(container).not.toHaveProperty('resources')
  })

  it('may escalate only where the API server would refuse the contrary', () => {
    const [container] = made({ capabilities: ['SYS_ADMIN'] }).spec.containers
    expect(container?.['securityContext']).toMatchObject({ allowPrivilegeEscalation: true })
  })

  it('carries the order in the program, and the same journal in both containers', () => {
    const [program, guard] = made().spec.containers
    const journal = [
      { name: 'CHAOSPLANE_JOURNAL', value: journalFolder(order) },
      { name: 'CHAOSPLANE_ATTEMPT', value: '2' },
    ]
    expect(program).toMatchObject({ name: 'fault', stdin: true, stdinOnce: false })
    expect(program?.['env']).toEqual([
      { name: 'CHAOSPLANE_ORDER', value: JSON.stringify(order) },
      ...journal,
    ])
    expect(guard).toMatchObject({ name: 'guard', env: journal })
    expect(guard).not.toHaveProperty('stdin')
  })

  it('honours resources, tolerations, labels, annotations and pull secrets, but not over its own', () => {
    const toleration = { key: 'k', operator: 'Exists' }
    const pod = made({
      settings: {
        resources: { limits: { memory: '64Mi' } },
        tolerations: [toleration],
        labels: { team: 'a', 'chaos.chaosplane.io/run': 'forged' },
        annotations: { note: 'b', 'linkerd.io/inject': 'enabled' },
        imagePullSecrets: [{ name: 's' }],
      },
    })
    expect(pod.metadata['labels']).toMatchObject({ team: 'a', 'chaos.chaosplane.io/run': 'run-1' })
    expect(pod.metadata['annotations']).toMatchObject({
      note: 'b',
      'linkerd.io/inject': 'disabled',
    })
    expect(pod.spec.tolerations).toEqual([{ operator: 'Exists' }, toleration])
    expect(pod.spec['imagePullSecrets']).toEqual([{ name: 's' }])
    for (const container of pod.spec.containers)
      expect(container['resources']).toEqual({ limits: { memory: '64Mi' } })
  })

  it('pulls its image by the secrets of the product and of the experiment, each once', () => {
    const settings = { imagePullSecrets: [{ name: 's' }, { name: 'ours' }] }
    expect(made({ imagePullSecrets: ['ours', 'more'], settings }).spec['imagePullSecrets']).toEqual(
      [{ name: 'ours' }, { name: 'more' }, { name: 's' }],
    )
    expect(made({ imagePullSecrets: ['ours'] }).spec['imagePullSecrets']).toEqual([
      { name: 'ours' },
    ])
    expect(made().spec).not.toHaveProperty('imagePullSecrets')
  })

  it('is owned and prioritised when asked', () => {
    const owner = { apiVersion: 'apps/v1', kind: 'Deployment', name: 'runner', uid: 'd' }
    const pod = made({ owner, priorityClassName: 'high' })
    expect(pod.metadata.ownerReferences).toEqual([owner])
    expect(pod.spec['priorityClassName']).toBe('high')
    expect(made().metadata).not.toHaveProperty('ownerReferences')
    expect(made().spec).not.toHaveProperty('priorityClassName')
  })
})

describe('names', () => {
  it('never lead out of the state folder', () => {
    expect(journalFolder({ cluster: 'c', node: 'n', run: '..', task: '../../etc' })).toBe(
      '/var/lib/chaosplane/c/n/_/.._.._etc',
    )
  })

  it.each([
    ['pod-cpu-hog', 'pod-cpu-hog'],
    ['-x y-', 'x-y'],
    [`${'a'.repeat(62)}-b`, 'a'.repeat(62)],
  ])('%s is the label %s', (text, label) => {
    expect(labelValue(text)).toBe(label)
  })
})
