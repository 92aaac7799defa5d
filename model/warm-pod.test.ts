import { describe, expect, it } from 'vitest'
import type { NodeOrder } from './fault-pod.ts'
import { type FaultPodFacts, newestOf, podName, servedName } from './fault-pod-recovery.ts'
import { faultPod, warmPod } from './fault-pod-spec.ts'
import {
  asksForItsOwn,
  claimLabels,
  fits,
  idleMs,
  isReady,
  isUnclaimed,
  type WarmPodFacts,
} from './warm-pod.ts'

const now = Date.UTC(2026, 10, 1)
const common = {
  namespace: 'home',
  image: 'i:1',
  imagePullPolicy: 'IfNotPresent' as const,
  imagePullSecrets: [],
  capabilities: ['SYS_PTRACE', 'SYS_ADMIN'],
  owner: null,
  priorityClassName: 'p',
}
const order: NodeOrder = {
  protocol: 1,
  cluster: 'c',
  node: 'n1',
  run: 'r1',
  task: 'hog',
  resource: { kind: 'ChaosExperiment', namespace: 'v2', name: 'x', uid: 'u' },
  fault: 'pod-cpu-hog',
  params: {},
  targets: [],
  holdMs: 1,
  start: 'now',
  attempt: 1,
  after: 0,
  armedForMs: 1,
}
type Made = WarmPodFacts & FaultPodFacts
const made = warmPod({ ...common, name: 'warm-1', node: 'n1', idleMs }) as Made
const need = { node: 'n1', capabilities: ['SYS_ADMIN', 'SYS_PTRACE'], image: 'i:1' }
const running = (...names: string[]): WarmPodFacts['status'] => ({
  containerStatuses: names.map((name) => ({ name, state: { running: {} } })),
})

describe('a warm pod', () => {
  it('is a fault pod without an order: not one right more', () => {
    const cold = faultPod({ ...common, name: 'x', order, settings: {}, reserve: true })
    type Spec = { spec: { containers: { env: object[] }[] } }
    const strip = (pod: object) => {
      const { spec } = structuredClone(pod) as Spec
      for (const container of spec.containers) container.env = []
      return spec
    }
    expect(strip(made)).toEqual(strip(cold))
    for (const { env } of (made as unknown as Spec).spec.containers)
      expect(env).toEqual([{ name: 'CHAOSPLANE_WARM_MS', value: '300000' }])
  })

  it.each<[string, WarmPodFacts, Partial<typeof need>, boolean]>([
    ['on the node of the target', made, {}, true],
    ['on another node', made, { node: 'n2' }, false],
    ['of another version', made, { image: 'i:2' }, false],
    [
      'that may do less than the fault needs',
      made,
      { capabilities: ['NET_ADMIN', ...need.capabilities] },
      false,
    ],
    ['that may do more than the fault needs', made, { capabilities: ['SYS_PTRACE'] }, false],
    ['that goes', { ...made, metadata: { ...made.metadata, deletionTimestamp: 'x' } }, {}, false],
    [
      'that is claimed',
      {
        ...made,
        metadata: {
          ...made.metadata,
          labels: { ...made.metadata.labels, ...claimLabels(order, 1) },
        },
      },
      {},
      false,
    ],
  ])('%s', (_, pod, other, is) => expect(fits(pod, { ...need, ...other })).toBe(is))

  it.each<[string, WarmPodFacts['status'], number, string[], boolean]>([
    ['waits', running('fault', 'guard'), 1000, [], true],
    ['has no guard yet', running('fault'), 1000, [], false],
    ['starts', {}, 1000, [], false],
    ['is about to end', running('fault', 'guard'), idleMs - 1000, [], false],
    ['is kept for ever', running('fault', 'guard'), 10 * idleMs, ['DaemonSet'], true],
  ])('one that %s', (_, status = {}, ageMs, owners, is) => {
    const creationTimestamp = new Date(now - ageMs).toISOString()
    const ownerReferences = owners.map((kind) => ({ kind }))
    const metadata = { ...made.metadata, creationTimestamp, ownerReferences }
    expect(isReady({ ...made, metadata, status }, now)).toBe(is)
  })

  it('is nobody’s before the claim, and the first pod of its run after it', () => {
    expect(isUnclaimed(made)).toBe(true)
    expect(newestOf(order, [made])).toBeNull()
    const labels = { ...made.metadata.labels, ...claimLabels(order, 1) }
    const claimed = { ...made, metadata: { ...made.metadata, labels } }
    expect(isUnclaimed(claimed)).toBe(false)
    expect(servedName(claimed)).toBe(podName(order, 1))
    expect(newestOf(order, [claimed])).toEqual({ pod: claimed, attempt: 1 })
    expect(newestOf({ ...order, node: 'n2' }, [claimed])).toBeNull()
    const cold = faultPod({ ...common, name: 'x', order, settings: {}, reserve: true }) as Made
    expect(labels).toMatchObject(cold.metadata.labels ?? {})
  })

  it.each([
    [{}, false],
    [{ labels: {}, annotations: {} }, false],
    [{ tolerations: [{ key: 'a' }], imagePullSecrets: [{ name: 's' }] }, false],
    [{ resources: { limits: { memory: '1Gi' } } }, true],
    [{ labels: { team: 'a' } }, true],
    [{ annotations: { a: 'b' } }, true],
  ])('an experiment that says %j of its pods gets its own: %s', (settings, is) => {
    expect(asksForItsOwn(settings)).toBe(is)
  })
})
