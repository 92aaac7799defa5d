import * as z from 'zod'
import { BadTunable, defineFault } from '../../../model/fault.ts'
import { textOf } from '../../../model/tunable.ts'
import { parseTaints, taintEffects, taintOf, taintText } from './taints.ts'

const params = z.object({
  taints: z
    .array(
      z.object({
        key: z.string().min(1).max(317).describe('Key of the taint.'),
        value: z.string().max(63).optional().describe('Value; absent: none.'),
        effect: z.enum(taintEffects).describe('What it does to pods that do not tolerate it.'),
      }),
    )
    .min(1)
    .max(20)
    .describe('Taints that the node gets.'),
})
export type NodeTaintParams = z.infer<typeof params>

/** Taints nodes; what stood there with the same key and effect comes back. */
export const nodeTaint = defineFault({
  id: 'node-taint',
  title: 'Taint nodes',
  names: { litmus: ['node-taint'], chaosplane: ['node-taint'] },
  hands: 'kube',
  lasts: 'while-held',
  targets: 'nodes',
  defaults: { durationMs: 60_000 },
  params,
  commands: ({ taints }, { target: { name } }) => ({
    inject: taints.map((taint) => `kubectl taint node ${name} ${taintText(taint)} --overwrite`),
    undo: taints.map(
      ({ key, effect }) =>
        `kubectl taint node ${name} ${key}:${effect}-  # or the value that stands there before`,
    ),
  }),
  evicts: ({ taints }) => taints.some(({ effect }) => effect === 'NoExecute'),
  tunables: [
    {
      name: 'TAINTS',
      dialect: 'litmus',
      default: '',
      text: 'Taints as key=value:effect, several separated by commas. Needed.',
      needed: true,
    },
    {
      name: 'key',
      dialect: 'chaosplane',
      default: '',
      text: 'Key of the taint. Needed.',
      needed: true,
    },
    { name: 'value', dialect: 'chaosplane', default: '', text: 'Value of the taint.' },
    {
      name: 'effect',
      dialect: 'chaosplane',
      default: 'NoSchedule',
      text: 'NoSchedule, PreferNoSchedule or NoExecute.',
    },
  ],
  fromLitmus: (tunables) => {
    const taints = parseTaints(textOf(tunables, 'TAINTS'), 'TAINTS')
    if (taints.length > 0) return params.parse({ taints })
    throw new BadTunable('TAINTS', 'it is missing', 'write for example "chaos=on:NoSchedule"')
  },
  fromChaosplane: (tunables) => {
    const key = textOf(tunables, 'key')
    if (key === '') throw new BadTunable('key', 'it is missing', 'write the key of the taint')
    const effect = textOf(tunables, 'effect') || 'NoSchedule'
    return params.parse({
      taints: [taintOf({ key, value: textOf(tunables, 'value'), effect }, 'key')],
    })
  },
  permissions: [
    { group: '', resource: 'nodes', verbs: ['patch', 'get'], why: 'taints the targets' },
  ],
  restores: [{ group: '', resource: 'nodes', verbs: ['get', 'patch'], why: 'puts nodes back' }],
  capabilities: [],
  errorWhenNoEffect: 'EFFECT_NOT_SEEN',
})
