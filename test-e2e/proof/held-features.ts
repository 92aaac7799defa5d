import type { Feature } from './features.ts'

const inHeld = (...titles: string[]): Feature['stories'] => [{ file: 'held', titles }]
const inDeaths = (...titles: string[]): Feature['stories'] => [{ file: 'deaths/held', titles }]

/** The features of faults that are held through the API. */
export const heldFeatures: Feature[] = [
  {
    name: 'the end of a hold through the API',
    without: 'the hold lasts half as long as was asked',
    edits: [
      {
        file: 'runner/actions/inject.ts',
        from: 'const endsAt = actor.clock.now() + holdMsOf(at, target)\n',
        to: 'const endsAt = actor.clock.now() + holdMsOf(at, target) / 2\n',
      },
    ],
    stories: inHeld(
      'node-taint NoExecute: pods really leave the node, for as long as was asked, and the taints are as before',
    ),
  },
  {
    name: 'an abort of a held fault',
    without: 'what is held is not put back before its time',
    edits: [
      {
        file: 'runner/engine/held.ts',
        from: "    if (v.ending) return { move: 'reverting' }\n",
        to: '',
      },
    ],
    stories: inHeld('node-taint: an abort in mid-hold takes the taint away at once'),
  },
  {
    name: 'three-way comparison',
    without: 'a taint with our key is taken away, whoever made it',
    edits: [
      {
        file: 'runner/faults/node-taint/kube.ts',
        from: `      const open = taints.filter(({ ours }) => sameTaint(like(node, ours), ours))
      return open.length === 0`,
        to: `      const open = taints.filter(({ ours }) => like(node, ours) !== null)
      return open.length === 0`,
      },
    ],
    stories: inHeld(
      'node-taint: what somebody else has changed meanwhile stays, and the hold is cut short',
    ),
  },
  {
    name: 'overseeing a hold',
    without: 'nobody looks whether what is held is still there',
    edits: [
      {
        file: 'runner/actions/oversee.ts',
        from: 'if (holds === false && !over)',
        to: 'if (holds === false && over)',
      },
    ],
    stories: inHeld(
      'node-taint: what somebody else has changed meanwhile stays, and the hold is cut short',
    ),
  },
  {
    name: 'evictions',
    without: 'a node is cordoned, and nobody is asked to leave',
    edits: [
      {
        file: 'runner/faults/node-drain/evict.ts',
        from: 'await io.kube.create(path, body, { as: io.as, signal, once: true })',
        to: 'void path',
      },
    ],
    stories: inHeld(
      'node-drain: the pods are gone from the node, those of the product stay, and it is uncordoned',
    ),
  },
  {
    name: 'leaving the runner there',
    without: 'a drain evicts whoever has to end it',
    edits: [
      {
        file: 'runner/faults/node-drain/pods.ts',
        from: "  if (labels['app.kubernetes.io/name'] === 'chaosplane') return stays('of chaosplane')\n",
        to: '',
      },
    ],
    stories: inHeld(
      'node-drain: the pods are gone from the node, those of the product stay, and it is uncordoned',
    ),
  },
  {
    name: 'the state from before',
    without: 'the end of a drain uncordons the node, whatever it was before',
    edits: [
      {
        file: 'runner/faults/node-drain/kube.ts',
        from: '      !undo.cordoned && ourCordon(node, undo) ? { spec: { unschedulable: null } } : null,',
        to: '      isCordoned(node) ? { spec: { unschedulable: null } } : null,',
      },
    ],
    stories: inHeld('node-drain: a node that was cordoned before stays cordoned'),
  },
  {
    name: 'naming what stands in the way of a drain',
    without: 'a refused eviction says nothing',
    edits: [
      {
        file: 'runner/faults/node-drain/evict.ts',
        from: 'if (error instanceof KubeError && mayPass(error)) return ',
        to: 'if (error instanceof KubeError && mayPass(error)) return null && ',
      },
    ],
    stories: inHeld('node-drain: a budget that allows nothing is named, and the node is put back'),
  },
  {
    name: 'the number from before',
    without: 'a workload is scaled back to one more',
    edits: [
      {
        file: 'runner/faults/pod-autoscaler/kube.ts',
        from: '      if (await setReplicas(scale, target, { ...io, to: before })) return',
        to: '      if (await setReplicas(scale, target, { ...io, to: before + 1 })) return',
      },
    ],
    stories: inHeld(
      'pod-autoscaler: the replicas come and are ready, and the number from before comes back',
    ),
  },
  {
    name: 'replicas that are seen',
    without: 'a number in the spec passes for replicas',
    edits: [
      {
        file: 'runner/faults/pod-autoscaler/kube.ts',
        from: 'spec?.replicas === wanted && replicas === wanted && readyReplicas === wanted',
        to: 'spec?.replicas === wanted',
      },
    ],
    stories: inHeld(
      'pod-autoscaler: replicas that a quota forbids are no effect, and everything is put back',
    ),
  },
  {
    name: 'the right that a refusal names',
    without: 'the words of the API server are all that is said',
    edits: [
      {
        file: 'runner/run/rights.ts',
        from: '  if (!isForbidden(error)) return error\n',
        to: '  if (isForbidden(error) || !isForbidden(error)) return error\n',
      },
    ],
    stories: inDeaths(
      'node-taint: an account without the right is told which, and nothing is done',
      'node-drain: an account without the right is told which, and nothing is done',
    ),
  },
  {
    name: 'putting back with own rights',
    without: "the revert acts as the experiment's account",
    edits: [
      {
        file: 'runner/faults/nodes.ts',
        from: 'const who = ({ as }: Io) => (as === undefined ? {} : { as })',
        to: "const who = ({ as = 'system:serviceaccount:v2:node-brief' }: Io) => ({ as })",
      },
    ],
    stories: inDeaths(
      'an account that is deleted in mid-hold does not keep the node from being put back',
    ),
  },
  {
    name: 'adoption of a held fault',
    without: 'nobody takes the run of a dead runner over',
    edits: [
      {
        file: 'runner/run/supervisor.ts',
        from: "this.#context.namespace) === 'dead'",
        to: "this.#context.namespace) === ('never' as string)",
      },
    ],
    stories: inDeaths(
      'a runner that is killed in mid-hold is replaced: same deadline, one injection, one verdict',
      'a runner that is killed and comes back past the deadline puts the node back at once',
    ),
  },
  {
    name: 'silence is no news',
    without: 'an API server that does not answer passes for a revert that failed',
    edits: [
      {
        file: 'runner/actions/restore.ts',
        from: '    if (result.unheard) {',
        to: '    if (result.unheard && clock.now() < 0) {',
      },
    ],
    stories: inDeaths(
      'an API server that is away past the deadline delays the end, and is no error',
    ),
  },
  {
    name: 'slots',
    without: 'two experiments may hold the same of one target',
    edits: [
      {
        file: 'runner/actions/inject.ts',
        from: '    await takeSlot(slot, holderOf(at, target), slotsIn(at, signal))\n',
        to: '    void [slot, holderOf, slotsIn, signal, takeSlot]\n',
      },
    ],
    stories: inDeaths(
      'two experiments on one node: other taints compose, a second drain is refused by the name of the first',
    ),
  },
]
