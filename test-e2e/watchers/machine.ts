import { connect } from 'node:net'
import type { Machine } from '../cluster/vm/machine.ts'

/** A time in which something held, unix milliseconds of one clock; `to` is undefined while it lasts. */
export type Span = { from: number; to: number | undefined }
type Sample = { at: number; on: boolean }

/** Slowness that is over within this may be the machine's own, milliseconds. */
export const hiccupMs = 2000

function spansOf(samples: Sample[]): Span[] {
  const spans: Span[] = []
  let from: number | undefined
  for (const { at, on } of samples) {
    if (on) from ??= at
    else if (from !== undefined) {
      spans.push({ from, to: at })
      from = undefined
    }
  }
  if (from !== undefined) spans.push({ from, to: undefined })
  return spans
}

// Nothing but the shell itself, which waits by reading what never comes: a process takes long to start without KVM.
const lookForStress = (inGroup: string) => `
${inGroup}
pipe=/run/door/$$.pipe
mkfifo "$pipe" && exec 9<>"$pipe" && rm "$pipe"
while :; do
  count=0
  for procs in */cgroup.procs; do
    while read -r pid; do
      comm=
      read -r comm 2>/dev/null <"/proc/$pid/comm"
      [[ $comm != stress-ng* ]] || count=$((count + 1))
    done 2>/dev/null <"$procs"
  done
  read -r _ used <cpu.stat || break
  echo "$EPOCHREALTIME $count $used" || break
  read -t 0.1 -u 9
done`

/** Stressors and CPU time of a pod on a machine, in the machine's own time; ends when the machine does. */
export class StressWatch {
  readonly #samples: (Sample & { cpuMs: number })[] = []
  readonly #close: () => void

  constructor(machine: Machine, inGroup: string) {
    const following = machine.follow(lookForStress(inGroup), (line) => {
      const [at, count, used] = line.split(' ').map(Number)
      if (at && used !== undefined)
        this.#samples.push({ at: at * 1000, on: count !== 0, cpuMs: used / 1000 })
    })
    this.#close = () => following.close()
  }

  holds(): Span[] {
    return spansOf(this.#samples)
  }

  /** CPU time of the pod within a span, as a share of one processor. */
  load({ from, to = Infinity }: Span): number {
    const within = this.#samples.filter(({ at }) => at >= from && at <= to)
    const [first, last] = [within.at(0), within.at(-1)]
    return first && last ? (last.cpuMs - first.cpuMs) / (last.at - first.at) : 0
  }

  close(): void {
    this.#close()
  }
}

const askEveryMs = 100
const answerWithinMs = 700

/**
 * Asks an address for a connection that nobody takes, ten times a second: a refusal is an answer, and silence means
 * that packets are lost. In this host's time; a span of silence begins and ends when the request was sent.
 */
export class SilenceWatch {
  readonly #samples: Sample[] = []
  readonly #timer: NodeJS.Timeout

  constructor(address: string) {
    this.#timer = setInterval(() => {
      const at = Date.now()
      const socket = connect({ host: address, port: 9 })
      socket.setTimeout(answerWithinMs, () => socket.destroy(new Error('no answer')))
      socket.on('error', (e: NodeJS.ErrnoException) =>
        this.#samples.push({ at, on: e.code !== 'ECONNREFUSED' }),
      )
    }, askEveryMs)
  }

  /** Times of silence that took at least as long as a lost packet could explain. */
  silences(): Span[] {
    const ordered = this.#samples.toSorted((a, b) => a.at - b.at)
    return spansOf(ordered).filter(({ from, to }) => to === undefined || to - from > 1000)
  }

  close(): void {
    clearInterval(this.#timer)
  }
}

/**
 * Asks an address for a connection that nobody takes, ten times a second, and takes the time to the refusal. In this
 * host's time; a span of slowness begins and ends when the request was sent. No answer at all says nothing.
 */
export class SlownessWatch {
  readonly #samples: Sample[] = []
  readonly #timer: NodeJS.Timeout

  constructor(address: string, slowMs: number) {
    this.#timer = setInterval(() => {
      const at = Date.now()
      const socket = connect({ host: address, port: 9 })
      socket.setTimeout(3000, () => socket.destroy())
      socket.on('error', (e: NodeJS.ErrnoException) => {
        if (e.code === 'ECONNREFUSED') this.#samples.push({ at, on: Date.now() - at > slowMs })
      })
    }, askEveryMs)
  }

  /** Times of slowness, without hiccups of the machine. */
  spans(): Span[] {
    const ordered = this.#samples.toSorted((a, b) => a.at - b.at)
    return spansOf(ordered).filter(({ from, to }) => to === undefined || to - from > hiccupMs)
  }

  close(): void {
    clearInterval(this.#timer)
  }
}
