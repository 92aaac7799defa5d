import { median } from '../sheet.ts'

/** Resident memory of one process at one time. */
export type MemorySample = { at: number; pid: number; mb: number }

/** How the memory of one process went. */
export type Course = {
  minutes: number
  start: number
  /** median of each quarter of the time */
  quarters: [number, number, number, number]
  /** MB per minute, by least squares */
  slope: number
}

/** What a flat process may gain from its second quarter to its last: the heap's own breathing. */
const breathMb = 10
/** A process that is younger has not reached its level yet, and is not judged. */
const judgedMinutes = 5

/** The course of the process that lives at the end; undefined when it was looked at too seldom. */
export function courseOf(samples: MemorySample[]): Course | undefined {
  const last = samples.at(-1)
  const own = samples.filter(({ pid }) => pid === last?.pid)
  const [first] = own
  if (!last || !first || own.length < 8) return undefined
  const quarter = (n: number): number => {
    const of = own.slice(Math.floor((n * own.length) / 4), Math.floor(((n + 1) * own.length) / 4))
    return median(of.map(({ mb }) => mb))
  }
  return {
    minutes: (last.at - first.at) / 60_000,
    start: first.mb,
    quarters: [quarter(0), quarter(1), quarter(2), quarter(3)],
    slope: slopeOf(own),
  }
}

function slopeOf(samples: MemorySample[]): number {
  const mean = (values: number[]) => values.reduce((a, b) => a + b, 0) / values.length
  const [at, mb] = [mean(samples.map((s) => s.at)), mean(samples.map((s) => s.mb))]
  const spread = samples.reduce((sum, s) => sum + (s.at - at) ** 2, 0)
  const together = samples.reduce((sum, s) => sum + (s.at - at) * (s.mb - mb), 0)
  return spread === 0 ? 0 : (together / spread) * 60_000
}

/** True when a process has grown by more than a heap breathes. */
export const grows = ({ minutes, quarters }: Course): boolean =>
  minutes >= judgedMinutes && quarters[3] - quarters[1] > breathMb

/** A course as one line. */
export function courseLine(name: string, course: Course | undefined): string {
  if (!course) return `${name}: began too late to be judged`
  const { minutes, start, quarters, slope } = course
  const judged =
    minutes < judgedMinutes ? 'too young to be judged' : grows(course) ? 'GROWS' : 'flat'
  const middles = quarters.map((mb) => mb.toFixed(1)).join(', ')
  return `${name}: ${start.toFixed(1)} MB at first, medians of the quarters ${middles} MB, ${slope.toFixed(2)} MB/min over ${minutes.toFixed(1)} min: ${judged}`
}
