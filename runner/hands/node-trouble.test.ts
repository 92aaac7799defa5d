import { describe, expect, it } from 'vitest'
import { isRefusal, KubeError } from '../../lib/kube/errors.ts'
import type { NodeOrder } from '../../model/fault-pod.ts'
import type { TargetState, TaskState } from '../../model/state.ts'
import { targetState, taskState } from '../../model/testing.ts'
import {
  factsOfGone,
  factsOfSilence,
  factsOfTrouble,
  NodeGone,
  refusalOf,
  whySilent,
} from './node-trouble.ts'

const order = {
  cluster: 'c',
  node: 'node-1',
  run: 'r1',
  task: 'hog',
} as NodeOrder
const now = 100_000

const target = (state: TargetState['state'], more: Partial<TargetState> = {}): TargetState =>
  targetState('demo/a/app', {
    name: 'a',
    uid: 'u',
    container: 'app',
    containerId: 'c1',
    node: 'node-1',
    state,
    ...more,
  })
const task = (...targets: TargetState[]): TaskState =>
  taskState('hog', {
    stage: 'chaos',
    chaosAt: 2,
    prepared: true,
    wave: 1,
    injections: 1,
    targets,
    pods: ['hog-x-1'],
  })
const concern = (one: TargetState, mayHaveRun = true) => ({
  order,
  task: task(one),
  mayHaveRun,
  now,
})
const names = (facts: { fact: string }[]): string[] => facts.map(({ fact }) => fact)

describe('a fault pod that cannot be had', () => {
  it.each<[string, TargetState, boolean, string[]]>([
    ['never ran: nothing was injected', target('targeted'), false, ['inject-failed']],
    ['its turn has not come', target('targeted', { wave: 2 }), true, ['inject-failed']],
    ['it was sent: it may be held', target('targeted'), true, ['revert-failed']],
    ['it is held', target('injected'), true, ['revert-failed']],
    ['it is owed already', target('owed'), true, []],
    ['it is over', target('reverted'), true, []],
    ['it is on another node', target('injected', { node: 'node-2' }), true, []],
  ])('%s', (_, one, mayHaveRun, facts) => {
    expect(names(factsOfTrouble('HELPER_ERROR', 'x', concern(one, mayHaveRun)))).toEqual(facts)
  })

  it('leaves the commands for a hand, and names the record of a second hit', () => {
    const [fact] = factsOfTrouble('HELPER_ERROR', 'x', concern(target('lost', { round: 2 })))
    expect(fact).toMatchObject({
      target: 'demo/a/app#2',
      remaining: [
        'on node node-1, as root: for f in /var/lib/chaosplane/c/node-1/r1/hog/go-*.sh; do sh "$f"; done',
      ],
    })
  })
})

describe('a program that cannot be spoken to', () => {
  it.each<[string, TargetState, string[]]>([
    ['holds in time', target('injected', { endsAt: now + 1 }), []],
    ['held until a moment ago', target('injected', { endsAt: now - 2000 }), []],
    ['should have ended', target('injected', { endsAt: now - 3001 }), ['revert-failed']],
    ['may have begun', target('targeted'), ['revert-failed']],
    ['was never told', target('targeted', { wave: 2 }), ['inject-failed']],
  ])('%s', (_, one, facts) => {
    expect(names(factsOfSilence('x', concern(one)))).toEqual(facts)
  })
})

describe('a node that has gone', () => {
  it.each<[string, TargetState, string[]]>([
    [
      'took what was held along',
      target('injected', { injectedAt: now - 5000 }),
      ['lost', 'reverted'],
    ],
    ['took what was owed along', target('owed'), ['reverted']],
    ['was never reached', target('targeted', { wave: 2 }), ['inject-failed']],
  ])('%s', (_, one, facts) => {
    const told = factsOfGone(new NodeGone('node-1'), concern(one))
    expect(names(told)).toEqual(facts)
    const [last] = told.slice(-1)
    if (last?.fact === 'reverted') expect(last.outcome).toBe('noLongerExists')
    if (told[0]?.fact === 'lost') expect(told[0].heldMs).toBe(5000)
  })
})

it.each<[string, unknown, string]>([
  [
    'a right that is missing',
    new KubeError({ status: 403, reason: 'Forbidden', message: 'Unexpected server response: 403' }),
    'the product itself may not create pods/attach in namespace home; its role in the chart',
  ],
  ['any other trouble', new Error('connection refused'), 'connection refused'],
  ['no trouble that is known', undefined, 'it does not answer'],
])('why nobody answers: %s', (_, error, why) => {
  expect(whySilent(error, 'home')).toContain(why)
})

describe('what the API server refuses', () => {
  const refused = (status: number, message: string) =>
    new KubeError({ status, reason: 'Forbidden', message })

  it.each<[string, string]>([
    [
      'pods "x" is forbidden: exceeded quota: q, requested: pods=1',
      'Raise the ResourceQuota of namespace home',
    ],
    [
      'pods "x" is forbidden: violates PodSecurity "restricted:latest"',
      'kubectl label namespace home --overwrite',
    ],
    [
      'pods "x" is forbidden: maximum cpu usage per Container is 10m',
      'LimitRange of namespace home',
    ],
    ['admission webhook "w" denied the request', 'what else admits pods'],
  ])('%s', (message, advice) => {
    const error = refusalOf(refused(403, message), 'home')
    expect(error.message).toContain(message)
    expect(error.message).toContain(advice)
    expect(error.code).toBe('HELPER_ERROR')
  })

  it.each([
    [403, true],
    [422, true],
    [409, false],
    [500, false],
    [0, false],
  ])('%i: certainly not made is %s', (status, certain) => {
    expect(isRefusal(refused(status, 'x'))).toBe(certain)
  })
})
