import { expect, it } from 'vitest'
import { faultCatalogue } from './catalogue.generated.ts'

const pod = { kind: 'Pod', namespace: 'demo', name: 'web-1' }
const node = { kind: 'Node', namespace: '', name: 'n1' }
const web = { kind: 'Deployment', namespace: 'demo', name: 'web' }
const table: [
  string,
  Record<string, string>,
  typeof pod,
  (string | RegExp)[],
  (string | RegExp)[],
][] = [
  ['pod-delete', {}, pod, ['kubectl -n demo delete pod web-1'], []],
  [
    'pod-delete',
    { FORCE: 'true' },
    pod,
    ['kubectl -n demo delete pod web-1 --grace-period=0 --force'],
    [],
  ],
  [
    'node-taint',
    { TAINTS: 'a=b:NoExecute' },
    node,
    ['kubectl taint node n1 a=b:NoExecute --overwrite'],
    [/^kubectl taint node n1 a:NoExecute- /],
  ],
  [
    'node-drain',
    {},
    node,
    ['kubectl drain n1 --ignore-daemonsets --delete-emptydir-data --force --timeout=60s'],
    [/^kubectl uncordon n1 /],
  ],
  [
    'pod-autoscaler',
    { REPLICA_COUNT: '3' },
    web,
    ['kubectl -n demo scale deployment/web --replicas=3'],
    [/--replicas=<as before>$/],
  ],
  [
    'pod-cpu-hog',
    { CPU_CORES: '2' },
    pod,
    [/^sh -c .*'<cgroup of the container>' -- stress-ng --cpu 2 --cpu-load 100 --timeout 31s/],
    [/CHAOSPLANE_MARK=<mark of the injection>/],
  ],
]

it.each(table)('%s with %j says what would be run', (id, tunables, target, inject, undo) => {
  const fault = faultCatalogue[id]
  const said = fault?.commands?.(fault.fromLitmus(tunables, id), { target, durationMs: 30_000 })
  const like = (lines: (string | RegExp)[]) =>
    lines.map((line) => (typeof line === 'string' ? line : expect.stringMatching(line)))
  expect(said?.inject).toEqual(like(inject))
  expect(said?.undo).toEqual(like(undo))
})
