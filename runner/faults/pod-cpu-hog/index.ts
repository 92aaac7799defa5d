import * as z from 'zod'
import { defineFault, inContainers } from '../../../model/fault.ts'
import { wholeNumber } from '../../../model/tunable.ts'
import { shellQuote } from '../shell-quote.ts'
import { joinedCommand, ownTimeLimit, stressCommand, undoStress } from './commands.ts'

const params = z.object({
  workers: z
    .int()
    .min(0)
    .max(1024)
    .describe('Stress processes, one core each at full load; 0: one for each core of the node.'),
  loadPercent: z.int().min(1).max(100).describe('How busy each of them is, percent.'),
})
export type PodCpuHogParams = z.infer<typeof params>

/** As a reader would write it for a shell. */
const word = (text: string): string => (/^[\w@%+=:,./-]+$/.test(text) ? text : shellQuote(text))

/** Burns CPU inside the cgroup of the target container, so that its own limit counts. */
export const podCpuHog = defineFault({
  id: 'pod-cpu-hog',
  title: 'Burn CPU in a container',
  names: { litmus: ['pod-cpu-hog'], chaosplane: ['pod-cpu-stress'] },
  ...inContainers,
  defaults: { durationMs: 30_000 },
  params,
  commands: ({ workers, loadPercent }, { durationMs }) => {
    const cgroups = ['<cgroup of the container>']
    const timeoutS = ownTimeLimit(durationMs)
    const stress = stressCommand({ workers, loadPercent, timeoutS })
    return {
      inject: [joinedCommand([], cgroups, stress).map(word).join(' ')],
      undo: [undoStress(cgroups, '<mark of the injection>').join('\n')],
    }
  },
  tunables: [
    {
      name: 'CPU_CORES',
      dialect: 'litmus',
      default: '1',
      text: 'Number of stress processes; 0: one for each core of the node.',
    },
    {
      name: 'CPU_LOAD',
      dialect: 'litmus',
      default: '100',
      text: 'Load of each process in percent, 1 to 100.',
    },
    {
      name: 'workers',
      dialect: 'chaosplane',
      default: '1',
      text: 'Number of stress processes; 0: one for each core of the node.',
    },
    {
      name: 'load',
      dialect: 'chaosplane',
      default: '100',
      text: 'Load of each process in percent, 1 to 100.',
    },
  ],
  fromLitmus: (tunables) => ({
    workers: wholeNumber(tunables, { name: 'CPU_CORES', min: 0, max: 1024, unset: 1 }),
    loadPercent: wholeNumber(tunables, { name: 'CPU_LOAD', min: 1, max: 100, unset: 100 }),
  }),
  fromChaosplane: (tunables) => ({
    workers: wholeNumber(tunables, { name: 'workers', min: 0, max: 1024, unset: 1 }),
    loadPercent: wholeNumber(tunables, { name: 'load', min: 1, max: 100, unset: 100 }),
  }),
  capabilities: ['SYS_ADMIN', 'SYS_PTRACE'],
})
