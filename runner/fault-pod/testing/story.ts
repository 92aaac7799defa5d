import type { NodeEvent } from '../../../model/fault-pod.ts'

const lives = [
  // hit, held, put back; «lost» when it was cut short
  /^(armed )*injected (lost )?(revert-failed )?reverted $/,
  // ended before the effect was seen
  /^(armed )*(revert-failed )?inject-failed $/,
  // told to stop before anything was done, or stopped before the effect was seen
  /^(armed )*reverted $/,
  /^refused $/,
]

/** What is wrong with what was told of the targets; empty when each has exactly one life, told in order. */
export function faultsOfStory(events: readonly NodeEvent[], targets: readonly string[]): string[] {
  const numbers = events.map(({ seq }) => seq)
  const unordered = numbers.some((seq, i) => seq !== i + 1)
  return [
    ...(unordered ? [`events are numbered ${numbers}`] : []),
    ...targets.flatMap((target) => {
      const life = events
        .flatMap((e) => ('target' in e && e.target === target ? `${e.event} ` : []))
        .join('')
      return lives.some((one) => one.test(life)) ? [] : [`${target}: ${life}`]
    }),
  ]
}

/** Events by number, as a runner that stores them has them after any number of repetitions. */
export function heardOnce(events: readonly NodeEvent[]): NodeEvent[] {
  const known = new Map<number, string>()
  for (const event of events) {
    const text = JSON.stringify(event)
    const before = known.get(event.seq)
    if (before !== undefined && before !== text) throw new Error(`told twice: ${before} ${text}`)
    known.set(event.seq, text)
  }
  return [...known].sort(([a], [b]) => a - b).map(([, text]) => JSON.parse(text) as NodeEvent)
}
