import { defineNodeFault, type FoundTarget, type NodeLook, NodeTrouble } from '../node-fault.ts'
import { joinedCommand, ownTimeLimit, stressCommand, undoStress } from './commands.ts'

type Params = { workers: number; loadPercent: number }

type Plan = { target: FoundTarget; workers: number; loadPercent: number; timeoutS: number }

/** CPU time of the workers that counts as an effect: start-up alone costs them about 1 ms each. */
const effectMs = 5

const whole = (raw: unknown, name: string, from: number, to: number): number => {
  if (typeof raw === 'number' && Number.isInteger(raw) && raw >= from && raw <= to) return raw
  throw new NodeTrouble(
    'INVALID_SPEC',
    `pod-cpu-hog: ${name} must be a whole number from ${from} to ${to}, not ${JSON.stringify(raw)}.`,
  )
}

function hasEnded({ pid, startTicks }: FoundTarget, look: NodeLook): boolean {
  const first = look.process(pid)
  return first?.startTicks !== startTicks || first.state === 'Z'
}

/** The node part of pod-cpu-hog: stress-ng in the target container's cgroups. */
export const podCpuHogNode = defineNodeFault<Params, Plan>({
  id: 'pod-cpu-hog',

  params: (raw) => ({
    workers: whole(raw['workers'], 'workers', 0, 4096),
    loadPercent: whole(raw['loadPercent'], 'loadPercent', 1, 100),
  }),

  facility(target, look) {
    if (!look.hasProgram('stress-ng'))
      throw new NodeTrouble(
        'HELPER_ERROR',
        'stress-ng is not in the image of the fault pod: use the image that belongs to this version.',
      )
    const closed = target.cgroups.find((group) => !look.writable(`${group}/cgroup.procs`))
    if (closed && target.enter.length === 0)
      throw new NodeTrouble(
        'HELPER_ERROR',
        `${closed}/cgroup.procs cannot be written: give the fault pod the capabilities of its fault, and see whether AppArmor or SELinux on this node forbids it.`,
      )
    return `stress-ng, ${target.cgroups.length} cgroup(s) writable`
  },

  plan: (target, { params, holdMs }, look) => ({
    target,
    workers: params.workers === 0 ? look.processors() : params.workers,
    loadPercent: params.loadPercent,
    timeoutS: ownTimeLimit(holdMs),
  }),

  inject(plan, hands) {
    const groups = plan.target.cgroups.map((group) => hands.hostRoot + group)
    hands.start(joinedCommand(plan.target.enter, groups, stressCommand(plan)), plan.target.mark)
  },

  verify(plan, look) {
    const ours = look.marked(plan.target.cgroups, plan.target.mark)
    const workers = ours
      .map((pid) => look.process(pid))
      .filter((process) => process && ours.includes(process.parent))
    const cpuMs = workers.reduce((sum, process) => sum + (process?.cpuMs ?? 0), 0)
    if (workers.length < plan.workers || cpuMs < effectMs) return null
    const evidence = `${workers.length} stressor(s) in the container's cgroup used ${cpuMs.toFixed(1)} ms of CPU`
    return { evidence, sound: workers.length }
  },

  alive(plan, effect, look) {
    if (hasEnded(plan.target, look)) return 'the target container has ended or restarted'
    const ours = look.marked(plan.target.cgroups, plan.target.mark)
    const workers = ours.filter((pid) => ours.includes(look.process(pid)?.parent ?? 0)).length
    if (workers >= effect.sound) return null
    return `${effect.sound - workers} of ${effect.sound} stressor(s) died (out of memory in the target, or killed from outside)`
  },

  revert(plan, hands) {
    for (const pid of hands.marked(plan.target.cgroups, plan.target.mark)) hands.kill(pid)
  },

  proof(plan, look) {
    const left = look.marked(plan.target.cgroups, plan.target.mark)
    if (left.length === 0 && hasEnded(plan.target, look))
      return { proof: 'the container has ended, and all that ran in it', gone: true }
    if (left.length === 0) return { proof: "no stressor is left in the container's cgroup" }
    return {
      left: `${left.length} stressor(s) still run in the container's cgroup`,
      remaining: left.map((pid) => `kill -9 ${pid}`),
    }
  },

  undo: (plan) => undoStress(plan.target.cgroups, plan.target.mark),
})
