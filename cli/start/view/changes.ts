import type { ProbeView, TargetView, TaskView, View } from './model.ts'
import { stageWords } from './render.ts'
import { clock } from './text.ts'

/** What is different, one full line per change, for output that is not a terminal. */
export function changes(before: View | null, after: View): string[] {
  const stamp = after.elapsedMs === null ? '-:--' : clock(after.elapsedMs)
  const known = new Map((before?.tasks ?? []).map((t) => [t.name, t]))
  const lines = [
    ...phaseChange(before, after),
    ...after.refusals.slice(before?.refusals.length ?? 0).map((text) => `refused: ${text}`),
    ...after.tasks.flatMap((task) => taskChanges(known.get(task.name), task)),
    ...resultChange(before, after),
  ]
  return lines.map((line) => `${stamp}  ${line}`)
}

function phaseChange(before: View | null, after: View): string[] {
  const lines: string[] = []
  if (before?.phase !== after.phase) lines.push(`${after.title}: ${after.phase}`)
  if (after.ending && before?.ending !== after.ending) lines.push(after.ending)
  return lines
}

function resultChange(before: View | null, after: View): string[] {
  if (!after.verdict || after.verdict === 'Awaited') return []
  if (before?.verdict === after.verdict && before.score === after.score) return []
  return [`verdict ${after.verdict}${after.score === null ? '' : `, score ${after.score}`}`]
}

function taskChanges(before: TaskView | undefined, after: TaskView): string[] {
  const { name, fault, stage, verdict, trouble } = after
  const lines: string[] = []
  const isNewStage = before?.stage !== stage && (before || stage !== 'pending')
  if (isNewStage) lines.push(`${name} (${fault}): ${stageWords[stage]}`)
  const probes = new Map((before?.probes ?? []).map((p) => [p.name, p]))
  const targets = new Map((before?.targets ?? []).map((t) => [t.key, t]))
  const parts = [
    ...after.probes.flatMap((probe) => probeChange(probes.get(probe.name), probe)),
    ...after.targets.flatMap((target) => targetChange(targets.get(target.key), target)),
    ...(trouble && before?.trouble !== trouble ? [trouble] : []),
    ...(verdict && verdict !== 'Awaited' && before?.verdict !== verdict ? [verdict] : []),
  ]
  return [...lines, ...parts.map((part) => `${name}: ${part}`)]
}

function probeChange(before: ProbeView | undefined, after: ProbeView): string[] {
  if (after.verdict === 'Awaited' || before?.verdict === after.verdict) return []
  const { name, mode, verdict, description } = after
  return [`probe ${name} (${mode}) ${verdict}${description ? `: ${description}` : ''}`]
}

function targetChange(before: TargetView | undefined, after: TargetView): string[] {
  if (before?.state === after.state) return []
  const { id, node, state, note } = after
  const text = `target ${id}${node ? ` on ${node}` : ''} ${state}${note ? `: ${note}` : ''}`
  return [text, ...after.remaining.map((command) => `run by hand: ${command}`)]
}
