import { execFile, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import type { Follower, Json } from '../watchers/api.ts'
import { pidsIn, podGroup, processesIn } from '../watchers/cgroups.ts'
import type { Span } from './judge.ts'
import { injectionsIn, Roots } from './own.ts'

/** Sees from outside when one target was not as before, and what still differs in the end. */
export type Watch = {
  spans(): Span[]
  /** how many injections were seen there at one time, at most: a second one beside the first is one span with it */
  most(): number
  /** empty: it is as before */
  difference(): Promise<string>
  close(): void
}

/** Notes when something begins and ceases to differ. */
class Spans {
  readonly list: Span[] = []
  note(differs: boolean, at = Date.now()): void {
    const last = this.list.at(-1)
    if (differs && (!last || last.to !== undefined)) this.list.push({ from: at, to: undefined })
    else if (!differs && last && last.to === undefined) last.to = at
  }
}

/** Lines of two images that only one of them has. */
function differenceOf(before: string, now: string): string {
  if (before === now) return ''
  const [old, young] = [before.split('\n'), now.split('\n')]
  const gone = old.filter((line) => !young.includes(line)).map((line) => `- ${line}`)
  const added = young.filter((line) => !old.includes(line)).map((line) => `+ ${line}`)
  return [...gone, ...added].join('; ') || 'the same lines in another order'
}

const everyMs = 40

function groupOf(nodes: string[], pod: Json): string {
  const group = podGroup(nodes, pod.metadata.uid)
  if (!group) throw new Error(`no cgroup of pod ${pod.metadata.name}`)
  return group
}

/** What runs in the pod's cgroup beside its own processes. */
export function watchProcesses(nodes: string[], pod: Json): Watch {
  const group = groupOf(nodes, pod)
  const own = new Set(processesIn(group).map(({ pid }) => pid))
  const strangers = () => processesIn(group).filter(({ pid }) => !own.has(pid))
  const spans = new Spans()
  const roots = new Roots()
  const timer = setInterval(() => {
    roots.note(strangers().filter(({ command }) => command.includes('stress-ng')))
    // One that is about to become another program has no command line, for long on a busy machine, and is there.
    spans.note(pidsIn(group).some((pid) => !own.has(pid)))
  }, everyMs)
  return {
    spans: () => structuredClone(spans.list),
    most: () => roots.most,
    difference: async () =>
      strangers()
        .map(({ pid, command }) => `${pid} ${command}`)
        .join('; '),
    close: () => clearInterval(timer),
  }
}

const inside = (pid: number, ...command: string[]): Promise<string> =>
  new Promise((resolve, reject) => {
    const args = [`--net=/proc/${pid}/ns/net`, '--', ...command]
    execFile('nsenter', args, (error, said) => (error ? reject(error) : resolve(said)))
  })
/** What becomes of packets there: rules, and queueing disciplines. */
async function rulesOf(pid: number): Promise<string> {
  const said = await inside(pid, 'sh', '-c', 'nft list ruleset && tc qdisc show')
  return said.replaceAll(/ refcnt \d+/g, '')
}

/** Everything that could do something to packets in a pod's network, as its own tools tell it; nobody waits meanwhile. */
const imageOf = (pid: number): Promise<string> =>
  inside(
    pid,
    'sh',
    '-c',
    'for c in "nft list ruleset" "tc qdisc show" "iptables-save" "ip6tables-save" "ip -o link show"; do echo "= $c"; $c 2>/dev/null | grep -v "^#"; done',
  )

/** What is in the way of the pod's packets: the kernel tells of every change of its rules. */
export const watchNetwork = (nodes: string[], pod: Json): Promise<Watch> =>
  watchNetworkOf(Math.min(...processesIn(groupOf(nodes, pod)).map((process) => process.pid)))

/** The same, of the network that a process is in. */
export async function watchNetworkOf(pid: number): Promise<Watch> {
  const before = await imageOf(pid)
  const rules = await rulesOf(pid)
  const spans = new Spans()
  let most = 0
  let look = Promise.resolve()
  let heard = 0
  /** looks that failed: what they would have seen is not known */
  let unread = 0
  const lookAgain = () => {
    const at = Date.now()
    look = look.then(async () => {
      const now = await rulesOf(pid).catch(() => null)
      if (now === null) return void unread++
      spans.note(now !== rules, at)
      most = Math.max(most, injectionsIn(now))
    })
  }
  const follow = (command: string[], isNews: (line: string) => boolean) => {
    const monitor = spawn('nsenter', [`--net=/proc/${pid}/ns/net`, '--', ...command], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    createInterface({ input: monitor.stdout }).on('line', (line) => isNews(line) && lookAgain())
    return monitor
  }
  const monitors = [
    follow(['nft', 'monitor'], (line) => line.includes('new generation') && ++heard > 0),
    follow(['tc', 'monitor'], (line) => line.includes('qdisc')),
  ]
  // It does not say that it listens: it is spoken to until it answers.
  for (const end = Date.now() + 20_000; heard === 0; await delay(50)) {
    if (Date.now() > end) throw new Error(`nft monitor in the network of ${pid} hears nothing`)
    await inside(pid, 'sh', '-c', 'nft add table inet eye && nft delete table inet eye')
  }
  await look
  spans.list.splice(0)
  return {
    spans: () => structuredClone(spans.list),
    most: () => most,
    difference: async () => {
      await look
      if (unread > 0) throw new Error(`the rules of ${pid} could not be read ${unread} times`)
      return differenceOf(before, await imageOf(pid))
    },
    close: () => {
      for (const monitor of monitors) monitor.kill('SIGKILL')
    },
  }
}

/**
 * What the API says of something: `image` picks it out of an object, of which there may be none; `own` counts what
 * injections have put there, where two of them can be told from one.
 */
export function watchObjects(
  follower: Follower,
  isOurs: (object: Json) => boolean,
  { image, own }: { image: (objects: Json[]) => string; own: (objects: Json[]) => number },
): Watch {
  const from = follower.history.length
  const there = new Map<string, Json>()
  for (const object of follower.objects.values())
    if (isOurs(object)) there.set(object.metadata.uid, object)
  const before = image([...there.values()])
  const look = () => {
    const now = new Map(there)
    const spans = new Spans()
    let most = own([...now.values()])
    for (const { at, type, object } of follower.history.slice(from)) {
      if (!isOurs(object)) continue
      if (type === 'DELETED') now.delete(object.metadata.uid)
      else now.set(object.metadata.uid, object)
      spans.note(image([...now.values()]) !== before, at)
      most = Math.max(most, own([...now.values()]))
    }
    return { spans: spans.list, most, difference: differenceOf(before, image([...now.values()])) }
  }
  return {
    spans: () => look().spans,
    most: () => look().most,
    difference: async () => look().difference,
    close: () => {},
  }
}
