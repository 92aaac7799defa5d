import { logTime } from '../../model/wire/log-service.ts'

/** One line to be logged. `time` is unix milliseconds; `args` must not change afterwards (it is encoded once). */
export type LogEntry = {
  level: string
  out: string
  time: number
  args?: Record<string, string>
}

/** Longer lines are cut, with a word about it. */
const LONGEST = 256 * 1024

/** Turns entries into the wire's text. Repeated parts (the second, the pod's arguments) are encoded once. */
export type LineEncoder = (entry: LogEntry, pos: number) => string

const cut = (text: string): string =>
  text.length <= LONGEST ? text : `${text.slice(0, LONGEST)} [cut: ${text.length} characters]`

/** An encoder that masks what it writes. */
export function createLineEncoder(mask: (text: string) => string): LineEncoder {
  let second = Number.NaN
  let time = ''
  const encodedArgs = new WeakMap<object, string>()

  function argsOf(args: Record<string, string> | undefined): string {
    if (!args) return '{}'
    let text = encodedArgs.get(args)
    if (text === undefined) {
      const masked = Object.entries(args).map(([name, value]) => [name, mask(value)])
      text = JSON.stringify(Object.fromEntries(masked))
      encodedArgs.set(args, text)
    }
    return text
  }

  return (entry, pos) => {
    const now = Math.floor(entry.time / 1000)
    if (now !== second) {
      second = now
      time = logTime(now * 1000)
    }
    const out = JSON.stringify(mask(cut(entry.out)))
    return `{"level":${JSON.stringify(entry.level)},"pos":${pos},"out":${out},"time":"${time}","args":${argsOf(entry.args)}}`
  }
}
