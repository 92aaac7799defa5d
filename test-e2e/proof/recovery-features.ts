import type { Feature } from './features.ts'

/** What the stories of recovery stand for. */
export const recoveryFeatures: Feature[] = [
  {
    name: 'recovery pods',
    without: 'a lost fault pod is waited for until kubelet starts it again',
    edits: [
      {
        file: 'model/fault-pod-recovery.ts',
        from: "  return work?.is === 'down' && !work.backsOff ? restartMs : 0\n",
        to: "  return work?.is === 'down' ? 60 * restartMs : 0\n",
      },
    ],
    stories: [
      {
        file: 'deaths/recovery',
        titles: [
          'program and guard for the second time',
          'program and guard for the fourth time, of the second pod for the second',
          'program and guard for the second time, and the runner: the operator makes the pod',
        ],
      },
    ],
  },
  {
    name: 'recovery by the operator',
    without: 'only runners replace a lost fault pod',
    edits: [
      {
        file: 'operator/recovery/act.ts',
        from: '    for (const one of make) {\n',
        to: '    for (const one of make.slice(99)) {\n',
      },
    ],
    stories: [
      {
        file: 'deaths/recovery',
        titles: [
          'program and guard for the second time, and the runner: the operator makes the pod',
        ],
      },
    ],
  },
  {
    name: 'cut short by an eviction',
    without: 'a fault pod that is taken away ends as if its time were up',
    edits: [
      {
        file: 'runner/fault-pod/hold.ts',
        from: "woken.end === 'lost' || woken.end === 'term'",
        to: "woken.end === 'lost'",
      },
    ],
    stories: [
      {
        file: 'deaths/recovery',
        titles: ['evicted: put back within a second, and the run says that it was cut short'],
      },
    ],
  },
  {
    name: 'advice where a fault pod is refused',
    without: 'the message of the API server is passed on, and nothing more',
    edits: [
      {
        file: 'model/pod-refusal.ts',
        from: "  if (said.includes('violates PodSecurity'))",
        to: "  if (said.includes('never'))",
      },
      {
        file: 'model/pod-refusal.ts',
        from: "  if (said.includes('exceeded quota')",
        to: "  if (said.includes('never')",
      },
    ],
    stories: [
      {
        file: 'deaths/recovery',
        titles: [
          'a ResourceQuota: an Error that says what to raise, and nothing is injected',
          'Pod Security of the product: an Error that says which label it needs',
        ],
      },
    ],
  },
]
