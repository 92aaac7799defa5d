import { type CrashPoint, crashPoints } from '../../lib/crash.ts'

/**
 * Where a fault is carried out: by a program on the node, by the runner and held, or by the runner and over at once.
 */
export type Level = 'node' | 'api' | 'once'
export const faults = {
  'pod-cpu-hog': 'node',
  'pod-network-loss': 'node',
  'pod-network-partition': 'node',
  'pod-network-latency': 'node',
  'node-taint': 'api',
  'node-drain': 'api',
  'pod-autoscaler': 'api',
  'pod-network-policy': 'api',
  'pod-delete': 'once',
} as const satisfies Record<string, Level>
export type Fault = keyof typeof faults

/** Takes whole nodes, of which there are two for it: it is one more case of a turn, beside those of the other faults. */
export const lone: Fault = 'node-drain'

/** The moments of a fault's life, in their order. */
export const moments = [
  'armed',
  'planned',
  'journalled',
  'half-injected',
  'injected',
  'reverting',
  'reverted',
] as const
export type Moment = (typeof moments)[number]

/** Who dies. The first three belong to one run alone; the others are shared by all. */
export const privateVictims = ['program', 'guard', 'fault pod'] as const
export const sharedVictims = [
  'runner',
  'operator',
  'control plane',
  'API server',
  'kubelet',
  'containerd',
] as const
export const victims = [...privateVictims, ...sharedVictims] as const
export type Victim = (typeof victims)[number]

export type Case = {
  fault: Fault
  moment: Moment
  victims: readonly Victim[]
  /** the runner ends itself there, instead of standing at the moment and being killed */
  point?: CrashPoint
}
/** Cases with the same victims, which die once for all of them. */
export type Turn = { victims: readonly Victim[]; cases: readonly Case[]; part?: 1 | 2 }

type Place = { point: CrashPoint; time: number }
const at = (point: CrashPoint, time = 1): Place => ({ point, time })

/** Where a run stands at a moment; with two targets, the second time is half way. */
const places: Record<Level, Record<Moment, Place>> = {
  node: {
    armed: at('program/armed', 2),
    planned: at('program/planned'),
    journalled: at('program/journalled'),
    'half-injected': at('program/injecting', 2),
    injected: at('program/holding', 2),
    reverting: at('program/reverting', 2),
    reverted: at('program/reported'),
  },
  api: {
    armed: at('runner/chosen'),
    planned: at('runner/planned'),
    journalled: at('runner/plan-recorded'),
    'half-injected': at('runner/injecting', 2),
    injected: at('runner/effect-seen', 2),
    reverting: at('runner/reverting', 2),
    reverted: at('runner/proven'),
  },
  once: {
    armed: at('runner/chosen'),
    planned: at('runner/strike-chosen'),
    journalled: at('runner/strike-recorded'),
    'half-injected': at('runner/striking', 2),
    injected: at('runner/struck', 2),
    reverting: at('runner/settling', 2),
    reverted: at('runner/settled'),
  },
}
export const placeOf = ({ fault, moment, point }: Pick<Case, 'fault' | 'moment' | 'point'>) =>
  point ? at(point) : places[faults[fault]][moment]

/** Whether it belongs to one run alone. */
export const isPrivate = (victim: Victim): boolean =>
  (privateVictims as readonly string[]).includes(victim)
/** A fault without a fault pod has no program, guard or pod to lose. */
const has = (fault: Fault, all: readonly Victim[]): boolean =>
  faults[fault] === 'node' || !all.some(isPrivate)

export const pairs: readonly (readonly [Victim, Victim])[] = victims.flatMap((one, i) =>
  victims.slice(i + 1).map((other) => [one, other] as const),
)

/** How many faults of each level; a pair meets all faults of a level in turn, one at each moment. */
const byLevel = (known: readonly Fault[]): Fault[][] =>
  [['node'], ['api', 'once']].map((levels) => known.filter((f) => levels.includes(faults[f])))

/** Of the pairs, those that every fault can lose. */
const sharedPairs = pairs.filter((pair) => !pair.some(isPrivate))

/**
 * Every fault at every moment with every victim that it has. Every pair of victims at every moment; the faults take
 * turns there, so that each meets every pair and, over the pairs, every moment.
 */
export function turnsOf(all: readonly Fault[]): Turn[] {
  const known = all.filter((fault) => fault !== lone)
  const withLone = (one: Turn, m: number): Turn => {
    const moment = moments[m]
    if (!moment || !all.includes(lone) || !has(lone, one.victims)) return one
    return { ...one, cases: [...one.cases, { fault: lone, moment, victims: one.victims }] }
  }
  const perVictim = victims.map((victim) => ({
    victim,
    own: known.filter((fault) => has(fault, [victim])),
  }))
  // In rounds, each victim with another fault: what is cut off by the clock has still met everybody.
  const single = known.flatMap((_fault, round) =>
    perVictim.flatMap(({ victim, own }, v) => {
      const fault = own[(round + v) % own.length]
      if (round >= own.length || !fault) return []
      const one = turn([victim], () => fault)
      return [withLone(one, round)]
    }),
  )
  const double = pairs.flatMap((pair, p) =>
    byLevel(known)
      .map((group) => group.filter((fault) => has(fault, pair)))
      .filter((group) => group.length > 0)
      .map((group) => turn(pair, (m) => group[(p + m) % group.length] as Fault))
      // the last of them, if there are two, is that of the API
      .map((one, i) => (i === 1 ? withLone(one, sharedPairs.indexOf(pair) % moments.length) : one))
      .flatMap((one) => (areReplacedTogether(pair) ? inTwo(one) : [one])),
  )
  return Array.from({ length: Math.max(single.length, double.length) }, (_none, i) =>
    [single[i], i < double.length ? double[(i * stride) % double.length] : undefined].filter(
      (t) => t !== undefined,
    ),
  ).flat()
}

/** Has nothing in common with the number of pairs' turns: neighbours in the list are far apart in the order. */
const stride = 7

const turn = (all: readonly Victim[], faultAt: (m: number) => Fault): Turn => ({
  victims: all,
  cases: moments.map((moment, m) => ({ fault: faultAt(m), moment, victims: all })),
})

/**
 * Somebody shared dies, so all cases die at once, and the node has to start another fault pod for each of them within
 * the bound. It does so for a few runs, as users have them, not for seven.
 */
const areReplacedTogether = (pair: readonly Victim[]): boolean =>
  pair.includes('fault pod') &&
  pair.some((v) => v === 'runner' || v === 'operator' || v === 'control plane')

function inTwo(one: Turn): Turn[] {
  const middle = Math.ceil(one.cases.length / 2)
  return [
    { ...one, cases: one.cases.slice(0, middle), part: 1 },
    { ...one, cases: one.cases.slice(middle), part: 2 },
  ]
}

/** What can be seen without being told to stand there, and deaths that between them take everybody once. */
const quick: readonly {
  victims: readonly Victim[]
  cases: readonly (readonly [Fault, Moment])[]
}[] = [
  {
    victims: ['program'],
    cases: [
      ['pod-cpu-hog', 'armed'],
      ['pod-cpu-hog', 'injected'],
      ['pod-network-loss', 'injected'],
    ],
  },
  {
    victims: ['guard', 'fault pod'],
    cases: [
      ['pod-network-partition', 'armed'],
      ['pod-cpu-hog', 'injected'],
      ['pod-network-partition', 'injected'],
    ],
  },
  {
    victims: ['runner', 'operator'],
    cases: [
      ['node-taint', 'armed'],
      ['pod-network-loss', 'injected'],
      ['node-taint', 'injected'],
      ['pod-autoscaler', 'injected'],
    ],
  },
  {
    victims: ['API server', 'control plane'],
    cases: [
      ['pod-network-partition', 'injected'],
      ['pod-network-policy', 'injected'],
      ['pod-delete', 'injected'],
    ],
  },
  {
    victims: ['kubelet', 'containerd'],
    cases: [
      ['pod-cpu-hog', 'injected'],
      ['pod-network-loss', 'injected'],
      ['node-taint', 'injected'],
    ],
  },
]

/** A few cases that need no crash points: every victim dies, and every fault is held by something that dies. */
export const quickTurns = (): Turn[] =>
  quick.map(({ victims: all, cases }) => ({
    victims: all,
    cases: cases.map(([fault, moment]) => ({ fault, moment, victims: all })),
  }))

/** By which fault a run comes to the points of the runner that only one way of carrying out has. */
const wayTo: Partial<Record<Level, RegExp>> = {
  node: /pod-|attached|heard|taken|acknowledging|\/armed|wave-sent|-sent|closing|removing|closed/,
  once: /str[iu]|settl/,
  api: /plan|inject|effect|holding|restor|revert|proven/,
}
const faultOf: Record<Level, Fault> = {
  node: 'pod-network-loss',
  api: 'node-taint',
  once: 'pod-delete',
}

/** Points to which no ordinary run comes. */
export const notReached: Partial<Record<CrashPoint, string>> = {
  'runner/removing':
    'a program that has been told to end ends: its pod is removed only when it does not',
}

/**
 * The runner ends itself at each of its crash points, one after the other: at those of one way of carrying out with a
 * fault of that way, at those of every run with one on the node and one through the API.
 */
export function pointTurns(): Turn[] {
  const points = (Object.keys(crashPoints) as CrashPoint[]).filter(
    (point) => point.startsWith('runner/') && !(point in notReached),
  )
  return points.flatMap((point) => {
    const own = (Object.keys(wayTo) as Level[]).filter((level) => wayTo[level]?.test(point))
    const levels: Level[] = own.length > 0 ? own : ['node', 'api']
    return levels.map((level): Turn => {
      const one = { fault: faultOf[level], moment: 'injected', victims: ['runner'], point } as const
      return { victims: one.victims, cases: [one] }
    })
  })
}

/** Before and after the claim of a warm pod, where others have their own made. */
const warmPoints: readonly CrashPoint[] = ['runner/pod-recorded', 'runner/pod-created']

/** The runner ends itself there in a run that finds a warm pod. */
export const warmTurns = (): Turn[] =>
  pointTurns().filter(
    ({ cases: [one] }) =>
      one?.point && warmPoints.includes(one.point) && faults[one.fault] === 'node',
  )

export const pointName = ({ cases: [one] }: Turn): string => `${one?.point}: ${one?.fault}`

export const nameOf = ({ victims: all, cases, part }: Turn): string =>
  `${all.join(' and ')}: ${[...new Set(cases.map(({ fault }) => fault))].join(', ')}${part ? `, part ${part} of 2` : ''}`
