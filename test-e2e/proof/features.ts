/** One place in the source where a feature is taken out. */
export type Edit = { file: string; from: string; to: string }

/** A feature, how it is switched off, and the stories that must fail then. */
export type Feature = {
  name: string
  /** what is wrong with the product once it is switched off */
  without: string
  edits: Edit[]
  /** file under `test-e2e/stories` without its ending, and titles of tests in it */
  stories: { file: string; titles: string[] }[]
}

const abortStories = [
  'aborted while armed: nothing is injected',
  'aborted while injecting: whatever came of it is put back',
  'aborted while holding: the CPU comes back at once',
]
const guardOff: Edit[] = ['undo eof "$J"/go-*.sh', 'undo absent "$f"'].map((undo) => ({
  file: 'runner/fault-pod/guard.sh',
  from: `  ${undo}\n`,
  to: '  :\n',
}))

/**
 * Every story and what it stands for. Each entry is tried by `npm run proof`: the feature is switched off in a copy
 * of the source, an image is built of it, and the stories named here must fail on a cluster that runs that image.
 */
export const features: Feature[] = [
  {
    name: 'CHAOS_INTERVAL',
    without: 'deletions follow each other ten times as fast',
    edits: [
      {
        file: 'runner/run/shapes.ts',
        from: '    offset += interval\n',
        to: '    offset += interval / 10\n',
      },
    ],
    stories: [
      { file: 'seed', titles: ['deletes real pods at the interval, one at a time, by their uid'] },
    ],
  },
  {
    name: 'joining the cgroup of the target',
    without: 'the stressor burns in the fault pod itself',
    edits: [
      {
        file: 'runner/faults/pod-cpu-hog/node.ts',
        from: 'plan.target.cgroups.map((group) => hands.hostRoot + group)\n    hands',
        to: '[] as string[]\n    hands',
      },
    ],
    stories: [
      {
        file: 'seed',
        titles: [
          'burns CPU in the cgroup of the target and of nobody else, for as long as was asked',
        ],
      },
    ],
  },
  {
    name: 'removing fault pods',
    without: 'the end is told, and the fault pods stay',
    edits: [
      {
        file: 'runner/actions/node.ts',
        from: 'sessions.map((s) => s.close(io.signal))',
        to: 'sessions.map(async () => {})',
      },
    ],
    stories: [
      {
        file: 'seed',
        titles: ['ends with the verdict Pass and the score 100, and leaves nothing'],
      },
    ],
  },
  {
    name: 'CREATE before UPDATE',
    without: 'kserver hears of a run by an UPDATE',
    edits: [
      {
        file: 'runner/run/projections.ts',
        from: "create ? 'CREATE' : 'UPDATE'",
        to: "create ? 'UPDATE' : 'UPDATE'",
      },
    ],
    stories: [
      {
        file: 'seed',
        titles: ['tells kserver CREATE, then UPDATE, in the published bytes, with completed last'],
      },
    ],
  },
  {
    name: 'the last snapshot',
    without: 'kserver is told that a run is complete with the state before',
    edits: [
      {
        file: 'model/execution-data.ts',
        from: '  const { wirePhase, message } = judgeRun(plan.dialect, run)\n',
        to: '  const { wirePhase, message } = judgeRun(plan.dialect, { ...run, tasks: run.tasks.map((t) => t.stage === "done" ? { ...t, stage: "post-probes" as const } : t) })\n',
      },
    ],
    stories: [{ file: 'seed', titles: ['reports the end as the graph says it'] }],
  },
  {
    name: 'log lines of fault pods',
    without: 'what the fault program says stays in its pod',
    edits: [
      {
        file: 'runner/run/projections.ts',
        from: '      if (this.#closed.has(key)) continue\n',
        to: '      if (this.#closed.has(key) || line.pod) continue\n',
      },
    ],
    stories: [
      {
        file: 'seed',
        titles: [
          'writes one log for each task, opened, in order, closed, with the words of the fault pods',
        ],
      },
    ],
  },
  {
    name: 'keeping what a peer cannot take',
    without: 'a failed delivery is given up at once',
    edits: [
      {
        file: 'lib/peer.ts',
        from: '        this.#wentDown(outcome, me)\n',
        to: "        this.#wentDown(outcome, me)\n        return { kind: 'refused', status: 0, why: 'away' } as never\n",
      },
    ],
    stories: [
      { file: 'side-by-side', titles: ['peers that are away for 60 s cost nothing but lateness'] },
    ],
  },
  {
    name: 'every target of a wave',
    without: 'only the first target is struck',
    edits: [
      {
        file: 'runner/actions/strike.ts',
        from: "recorded().filter((t) => t.state === 'targeted')",
        to: "recorded().filter((t) => t.state === 'targeted').slice(0, 1)",
      },
    ],
    stories: [
      {
        file: 'side-by-side',
        titles: ['pod-kill with steady states: every pod that matches, once'],
      },
    ],
  },
  {
    name: 'the length of a hold',
    without: 'the fault is held for half as long as was asked',
    edits: [
      {
        file: 'runner/fault-pod/hold.ts',
        from: 'this.#actAt + latestStartMs) + this.#holdMs\n',
        to: 'this.#actAt + latestStartMs) + this.#holdMs / 2\n',
      },
    ],
    stories: [
      {
        file: 'side-by-side',
        titles: ['pod-cpu-stress: the load is in the target, for as long as was asked'],
      },
    ],
  },
  {
    name: 'abort by annotation',
    without: 'the annotation is not heard',
    edits: [
      {
        file: 'runner/run/claim.ts',
        from: '  if (said) return said\n',
        to: '',
      },
    ],
    stories: [{ file: 'side-by-side', titles: abortStories }],
  },
  {
    name: 'the finalizer',
    without: 'a deleted resource goes at once',
    edits: [
      {
        file: 'runner/run/claim.ts',
        from: '{ finalizers: [...finalizers, runFinalizer] }',
        to: '{}',
      },
    ],
    stories: [
      {
        file: 'side-by-side',
        titles: ['deleted while holding: the resource stays until everything is put back'],
      },
    ],
  },
  {
    name: 'stopOnFailure',
    without: 'a failed probe stops nothing',
    edits: [
      {
        file: 'runner/actions/probe.ts',
        from: "'failed' && probe.run.stopOnFailure",
        to: "'failed' && probe.run.stopOnFailure === null",
      },
    ],
    stories: [
      {
        file: 'side-by-side',
        titles: ['a failed SOT probe with stopOnFailure: nothing is injected'],
      },
    ],
  },
  {
    name: 'the verdict of a failed probe',
    without: 'the hypothesis does not count',
    edits: [
      {
        file: 'model/verdict.ts',
        from: 'const probes = task.probes.filter(isHypothesis)\n',
        to: 'const probes = task.probes.filter((p) => isHypothesis(p) && p.verdict === "Passed")\n',
      },
    ],
    stories: [
      {
        file: 'side-by-side',
        titles: ['a failed SOT probe without it: the run goes on and fails'],
      },
      { file: 'cmd-probe', titles: ['whose comparison is false fail the run'] },
    ],
  },
  {
    name: 'the look for the service account',
    without: 'an account that a binding names passes, there or not',
    edits: [
      {
        file: 'runner/run/rights.ts',
        from: '  if (await kube.find(path, { signal })) return\n',
        to: '  if (path) return\n',
      },
    ],
    stories: [{ file: 'side-by-side', titles: ['a missing account is named'] }],
  },
  {
    name: 'impersonation',
    without: 'the runner acts with its own rights',
    edits: [
      {
        file: 'lib/kube/client.ts',
        from: "'impersonate-user': as }",
        to: "'x-would-be': as }",
      },
    ],
    stories: [
      {
        file: 'seed',
        titles: ['acts with the rights of the account that the experiment names, and no others'],
      },
    ],
  },
  {
    name: 'naming a missing right',
    without: 'the words of the API server are all that is said',
    edits: [
      {
        file: 'runner/run/rights.ts',
        from: '  if (!isForbidden(error)) return error\n',
        to: '  if (error) return error\n',
      },
    ],
    stories: [
      {
        file: 'side-by-side',
        titles: [
          'an account without rights: pod-delete says verb, resource and namespace',
          'an account without rights: pod-cpu-hog says verb, resource and namespace',
        ],
      },
    ],
  },
  {
    name: 'a selection must find something',
    without: 'a workload that does not exist is an empty set',
    edits: [
      {
        file: 'model/selection.ts',
        from: '  if (missing.length > 0)\n    throw refuse(\n      `there is no $',
        to: '  if (missing.length < 0)\n    throw refuse(\n      `there is no $',
      },
      {
        file: 'model/selection.ts',
        from: '  if (found.length === 0)\n    throw refuse(\n      `no pod',
        to: '  if (found.length < 0)\n    throw refuse(\n      `no pod',
      },
    ],
    stories: [{ file: 'side-by-side', titles: ['a target that does not exist'] }],
  },
  {
    name: 'references are resolved first',
    without: 'an unknown probe of a later task stops that task only',
    edits: [
      {
        file: 'runner/run/run.ts',
        from: "{ fact: 'prepare-failed', task, trouble, fatal: true }",
        to: "{ fact: 'prepare-failed', task, trouble, fatal: false }",
      },
      {
        file: 'runner/actions/prepare.ts',
        from: "['MISSING_ACCOUNT', 'UNKNOWN_PROBE']",
        to: "['MISSING_ACCOUNT']",
      },
    ],
    stories: [
      {
        file: 'side-by-side',
        titles: ['an unknown probe reference: nothing is injected anywhere'],
      },
    ],
  },
  {
    name: 'names that are nearly right',
    without: 'a refusal does not say what was meant',
    edits: [
      {
        file: 'model/compile/faults.ts',
        from: 'elsewhere ?? nearest(written, known)',
        to: 'elsewhere',
      },
    ],
    stories: [
      { file: 'side-by-side', titles: ['an unknown fault is refused with path and suggestion'] },
    ],
  },
  {
    name: 'one pod for all commands',
    without: 'each command probe has a pod of its own',
    edits: [
      {
        file: 'runner/probes/command/pod.ts',
        from: ": 'inline'\n",
        to: ': String(Math.random())\n',
      },
    ],
    stories: [
      {
        file: 'cmd-probe',
        titles: ['share one pod without token, root or volume, which is gone at the end'],
      },
    ],
  },
  {
    name: 'a command that cannot run is no answer',
    without: 'the output of a failed command is compared',
    edits: [
      {
        file: 'runner/probes/command/index.ts',
        from: '  if (exitCode !== 0) {',
        to: '  if (exitCode < 0) {',
      },
    ],
    stories: [
      {
        file: 'cmd-probe',
        titles: ['whose command cannot be run are an Error, not a Fail, and nothing is struck'],
      },
    ],
  },
  {
    name: 'adoption',
    without: 'nobody takes the run of a dead runner over',
    edits: [
      {
        file: 'runner/run/supervisor.ts',
        from: "this.#context.namespace) === 'dead'",
        to: "this.#context.namespace) === ('never' as string)",
      },
    ],
    stories: [
      {
        file: 'deaths/programs',
        titles: [
          'a runner that dies in mid-hold is replaced: same deadline, no second injection, one verdict',
        ],
      },
    ],
  },
  {
    name: 'the guard',
    without: 'nobody hears the end of the fault program on the node',
    edits: guardOff,
    stories: [
      {
        file: 'deaths/programs',
        titles: [
          'a fault program that dies is cleaned up by its guard at once: cut short is an Error',
        ],
      },
    ],
  },
  {
    name: 'guard and journal',
    without: 'nobody undoes what a killed program has left',
    edits: [
      ...guardOff,
      {
        file: 'runner/fault-pod/program.ts',
        from: '    await sweepOwn({',
        to: '    if (past.acted === null) await sweepOwn({',
      },
    ],
    stories: [
      {
        file: 'deaths/programs',
        titles: ['runner and program killed together: guard and journal clean up alone'],
      },
    ],
  },
  {
    name: 'taking the lead over',
    without: 'a standby waits for a lease that never ends',
    edits: [
      {
        file: 'lib/kube/lease.ts',
        from: '    if (!holder || holder === this.#o.identity || this.#o.isDead?.(holder)) return 0\n    return Math.max(0, this.#movedAt + this.#timing.durationMs - this.#monotonic())',
        to: '    if (!holder || holder === this.#o.identity) return 0\n    return 60_000',
      },
    ],
    stories: [
      {
        file: 'deaths/programs',
        titles: ['an operator that dies leaves the lead to the other, and the verdict is written'],
      },
    ],
  },
  {
    name: 'the deadline on the node',
    without: 'the fault program waits to be told the end',
    edits: [
      {
        file: 'runner/fault-pod/hold.ts',
        from: "setTimeout(() => this.end({ end: 'deadline' }), left)",
        to: "setTimeout(() => this.end({ end: 'deadline' }), left + 60_000)",
      },
    ],
    stories: [
      {
        file: 'deaths/programs',
        titles: ['an API server that dies in mid-hold delays the verdict, not the end of the hold'],
      },
    ],
  },
  {
    name: 'losing packets',
    without: 'packets are counted, and go on',
    edits: [
      {
        file: 'runner/fault-pod/network/ruleset.ts',
        from: '    counter fwd to "lo"',
        to: '    counter accept',
      },
    ],
    stories: [
      {
        file: 'network',
        titles: [
          'are all lost, for as long as was asked, and the sender hears nothing of it',
          'are lost by half',
          'stay lost while the container restarts, and come through at the end',
        ],
      },
    ],
  },
  {
    name: 'the filter of a network fault',
    without: 'every packet is meant, whatever the filter says',
    edits: [
      {
        file: 'runner/fault-pod/network/matches.ts',
        from: 'wanted: wanted.length > 0 ? wanted : [{}]',
        to: 'wanted: wanted.length > 999 ? wanted : [{}]',
      },
    ],
    stories: [
      {
        file: 'network',
        titles: [
          'are lost where the filter aims, and nowhere else',
          'are lost on their way to a Service by its name, with a cluster address or without',
        ],
      },
    ],
  },
  {
    name: 'putting the network back',
    without: 'neither program nor guard removes what they made',
    edits: [
      {
        file: 'runner/fault-pod/network/acts.ts',
        from: 'if (door !== null) meansOf(by).revert(by, running(door, hands), hands)',
        to: "if (door === '') meansOf(by).revert(by, running(door, hands), hands)",
      },
      {
        file: 'runner/fault-pod/network/acts.ts',
        from: '...enterByShell(network.netns), ...meansOf(by).undo(by)]',
        to: "...enterByShell(network.netns), meansOf(by) ? 'exit 0' : '']",
      },
    ],
    stories: [
      {
        file: 'network',
        titles: [
          'come through again as soon as the fault program is killed',
          'come through again at once after an abort',
        ],
      },
      {
        file: 'partition',
        titles: [
          'come back as soon as the fault program is killed',
          'come back at once after an abort',
        ],
      },
    ],
  },
  {
    name: 'the network of the sandbox',
    without: 'a network is known by the container that was selected',
    edits: [
      {
        file: 'runner/fault-pod/network/namespace.ts',
        from: 'const pid = look.inNetns(netns, pod) ?? target.pid',
        to: 'const pid = target.pid',
      },
      {
        file: 'runner/fault-pod/network/namespace.ts',
        from: 'if (other !== null) return doorOfProcess(other)',
        to: 'if (other === 0) return doorOfProcess(other)',
      },
      {
        file: 'runner/fault-pod/network/namespace.ts',
        from: 'return at === undefined ? null : look.hostRoot + at',
        to: "return at !== '' ? null : look.hostRoot + at",
      },
    ],
    stories: [
      {
        file: 'network',
        titles: ['stay lost while the container restarts, and come through at the end'],
      },
    ],
  },
  {
    name: "the node's own network",
    without: 'a pod on the network of its node is a pod like others',
    edits: [
      {
        file: 'runner/fault-pod/network/namespace.ts',
        from: 'if (look.nodeNetns().includes(netns))',
        to: "if (look.nodeNetns().includes(''))",
      },
    ],
    stories: [
      { file: 'network', titles: ['of a pod that uses the network of its node are not touched'] },
    ],
  },
  {
    name: 'naming the missing module',
    without: 'the fault pod is armed without netem, and tc is asked all the same',
    edits: [
      {
        file: 'runner/faults/pod-network-latency/node.ts',
        from: "if (trouble === null) return 'netem'",
        to: "if (trouble !== '') return 'netem'",
      },
    ],
    stories: [
      {
        file: 'network',
        titles: ['are not delayed by a kernel that cannot: it says which module is missing'],
      },
    ],
  },
  {
    name: 'the direction of a connection',
    without: 'both directions are cut, whatever was asked',
    edits: [
      {
        file: 'runner/fault-pod/network/cut.ts',
        from: 'cut.directions.includes(direction) ? dropLines(way, side, { cut, hooks }) : []',
        to: 'cut.directions.length > 0 || direction ? dropLines(way, side, { cut, hooks }) : []',
      },
    ],
    stories: [
      {
        file: 'partition',
        titles: [
          'that the pod opens are cut, new and old, with the one it must lose; it goes on serving',
          'that others open are cut on the port that is named, and on no other',
        ],
      },
    ],
  },
  {
    name: 'connections that exist',
    without: 'only what opens a connection is dropped',
    edits: [
      {
        file: 'runner/fault-pod/network/cut.ts',
        from: '[where, text, verdict].filter(Boolean)',
        to: "[where, text, 'tcp flags & (syn | ack) == syn', verdict].filter(Boolean)",
      },
    ],
    stories: [
      {
        file: 'partition',
        titles: [
          'that the pod opens are cut, new and old, with the one it must lose; it goes on serving',
          'are all cut in the other dialect, but kubelet still sees that the pod is well',
        ],
      },
    ],
  },
  {
    name: 'sparing the node',
    without: 'kubelet is cut off from the pod like everybody',
    edits: [
      {
        file: 'runner/faults/pod-network-partition/node.ts',
        from: 'const spared = nodeAddresses(ask, look).filter(',
        to: 'const spared = nodeAddresses(ask, look).slice(9).filter(',
      },
    ],
    stories: [
      {
        file: 'partition',
        titles: ['are all cut in the other dialect, but kubelet still sees that the pod is well'],
      },
    ],
  },
  {
    name: 'looking after the rules',
    without: 'nobody looks whether they are still there',
    edits: [
      {
        file: 'runner/fault-pod/network/acts.ts',
        from: 'if (!isDue(effect) ||',
        to: 'if (isDue(effect) || roundsBetweenLooks > 0 ||',
      },
    ],
    stories: [
      {
        file: 'partition',
        titles: ['that somebody else mends meanwhile end the run as an Error, not as a Pass'],
      },
    ],
  },
  {
    name: 'a table for each experiment',
    without: 'two experiments on a pod share a name for what they put there',
    edits: [
      {
        file: 'runner/fault-pod/network/acts.ts',
        from: "createHash('sha256').update(mark).digest('hex')",
        to: "createHash('sha256').update(mark.slice(0, 0)).digest('hex')",
      },
    ],
    stories: [
      {
        file: 'partition',
        titles: ['of one pod are cut and lost by two experiments at once, each by itself'],
      },
    ],
  },
  {
    name: 'pausing',
    without: 'the annotation is not heard',
    edits: [
      {
        file: 'runner/run/run.ts',
        from: '    if (by && !state.paused) return pauseOf(by, { plan: this.#parts.plan, state, shapeOf })\n',
        to: '',
      },
    ],
    stories: [
      {
        file: 'deaths/pause',
        titles: [
          'two pauses: CPU back at once, up again for what is left, in the same fault pod',
          'a runner that dies while the run is paused: the next one keeps it paused, and resumes it',
          'a fault pod that goes while the run is paused is replaced at the resume',
          'an abort ends a paused run, and nothing is injected again',
          'paused from the start, a run begins nothing; what strikes at once says that it goes on',
          'what is held through the API is put back and held again with an undo of its own',
        ],
      },
    ],
  },
  {
    name: 'what a pause has left of a hold',
    without: 'a resumed fault is held for the whole duration once more',
    edits: [
      {
        file: 'runner/engine/pause.ts',
        from: '  return Math.round(asked - (heldMs ?? seen))\n',
        to: '  return asked + 0 * (heldMs ?? seen)\n',
      },
    ],
    stories: [
      {
        file: 'deaths/pause',
        titles: ['two pauses: CPU back at once, up again for what is left, in the same fault pod'],
      },
    ],
  },
  {
    name: 'targets that come later',
    without: 'nobody is looked for while a fault holds',
    edits: [
      { file: 'runner/engine/follow.ts', from: 'return v.now < end ?', to: 'return v.now < 0 ?' },
    ],
    stories: [
      {
        file: 'dynamic',
        titles: [
          'hits pods that come while the fault holds, on other nodes too, and ends with the first ones',
          'a container that starts again is cut short in static mode, and hit again in dynamic mode',
        ],
      },
    ],
  },
  {
    name: 'static targets',
    without: 'pods that come are hit whatever the mode is',
    edits: [
      { file: 'runner/engine/follow.ts', from: 'if (!dynamic || trouble', to: 'if (trouble' },
    ],
    stories: [{ file: 'dynamic', titles: ['in static mode nobody is added'] }],
  },
  {
    name: 'an order in parts',
    without: 'the order of a fault pod is one variable, however large',
    edits: [{ file: 'model/order-env.ts', from: 'mostChars = 100_000', to: 'mostChars = 900_000' }],
    stories: [
      {
        file: 'dynamic',
        titles: ['an order for 200 targets of the longest names reaches its pod'],
      },
    ],
  },
]
