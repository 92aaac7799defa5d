import * as z from 'zod'
import { defineFault } from '../../../model/fault.ts'
import { duration, yesOrNo } from '../../../model/tunable.ts'

const params = z.object({
  timeoutMs: z.int().min(1000).describe('How long pods may take to go, milliseconds.'),
  force: z.boolean().describe('Also pods that nothing will start again.'),
  ignoreDaemonSets: z.boolean().describe('Pods of DaemonSets stay; false: they are in the way.'),
  deleteEmptyDirData: z.boolean().describe('Also pods whose emptyDir volumes go with them.'),
})
export type NodeDrainParams = z.infer<typeof params>

/** Nodes are cordoned and their pods evicted. */
export const nodeDrain = defineFault({
  id: 'node-drain',
  title: 'Drain nodes',
  names: { litmus: ['node-drain'], chaosplane: ['node-drain'] },
  hands: 'kube',
  lasts: 'while-held',
  targets: 'nodes',
  defaults: { durationMs: 60_000 },
  params,
  commands: ({ ignoreDaemonSets, deleteEmptyDirData, force, timeoutMs }, { target: { name } }) => {
    const flags = [
      ...(ignoreDaemonSets ? ['--ignore-daemonsets'] : []),
      ...(deleteEmptyDirData ? ['--delete-emptydir-data'] : []),
      ...(force ? ['--force'] : []),
      `--timeout=${Math.ceil(timeoutMs / 1000)}s`,
    ]
    return {
      inject: [`kubectl drain ${name} ${flags.join(' ')}`],
      undo: [`kubectl uncordon ${name}  # unless it is cordoned before`],
    }
  },
  evicts: () => true,
  tunables: [
    {
      name: 'DRAIN_TIMEOUT',
      dialect: 'litmus',
      default: '60',
      text: 'Seconds that the pods may take to go; an Error and everything put back when they do not.',
    },
    {
      name: 'FORCE',
      dialect: 'litmus',
      default: 'true',
      text: 'false: refuse a node with pods that no controller would start again.',
    },
    {
      name: 'timeout',
      dialect: 'chaosplane',
      default: '5m',
      text: 'How long the pods may take to go; an Error and everything put back when they do not.',
    },
    {
      name: 'ignoreDaemonSets',
      dialect: 'chaosplane',
      default: 'true',
      text: 'Pods of DaemonSets stay; false: refuse a node that has some.',
    },
    {
      name: 'deleteEmptyDirData',
      dialect: 'chaosplane',
      default: 'true',
      text: 'false: refuse a node with pods whose emptyDir volumes would be lost.',
    },
  ],
  fromLitmus: (tunables) => ({
    timeoutMs: duration(tunables, { name: 'DRAIN_TIMEOUT', minMs: 1000, unset: 60_000 }),
    force: yesOrNo(tunables, 'FORCE', true),
    ignoreDaemonSets: true,
    deleteEmptyDirData: true,
  }),
  fromChaosplane: (tunables) => ({
    timeoutMs: duration(tunables, { name: 'timeout', minMs: 1000, unset: 300_000 }),
    force: true,
    ignoreDaemonSets: yesOrNo(tunables, 'ignoreDaemonSets', true),
    deleteEmptyDirData: yesOrNo(tunables, 'deleteEmptyDirData', true),
  }),
  permissions: [
    { group: '', resource: 'nodes', verbs: ['patch', 'get'], why: 'cordons the targets' },
    { group: '', resource: 'pods', verbs: ['list'], why: 'finds the pods of the node' },
    { group: '', resource: 'pods/eviction', verbs: ['create'], why: 'evicts them' },
  ],
  restores: [{ group: '', resource: 'nodes', verbs: ['get', 'patch'], why: 'puts nodes back' }],
  capabilities: [],
  errorWhenNoEffect: 'EFFECT_NOT_SEEN',
})
