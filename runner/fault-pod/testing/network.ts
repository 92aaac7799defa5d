import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import type { FoundTarget, NodeFault } from '../../faults/node-fault.ts'
import { Hands } from '../hands.ts'
import { bootId } from '../host.ts'
import { undoScript } from '../journal.ts'

/** Why no networks can be posed here; empty when they can. */
export const cannotNetwork = (): string =>
  process.platform === 'linux' && process.getuid?.() === 0 ? '' : 'needs root on Linux'

function must(program: string, args: string[], input?: string): string {
  const { status, stdout, stderr } = spawnSync(program, args, { encoding: 'utf8', input })
  if (status !== 0) throw new Error(`${program} ${args.join(' ')}: ${stderr}`)
  return stdout
}

/** Takes away whatever could do something to the packets of a process's network. */
export const flushNetwork = (pid: number): void =>
  void must('nsenter', [`--net=/proc/${pid}/ns/net`, '--', 'nft', 'flush', 'ruleset'])

/** Whether the kernel can delay packets. */
export const hasNetem = (): boolean =>
  spawnSync('unshare', [
    '--net',
    'tc',
    'qdisc',
    'add',
    'dev',
    'lo',
    'root',
    'netem',
    'delay',
    '1ms',
  ]).status === 0

/** Everything that could do something to the packets of a process's network, as the tools tell it. */
export const networkImage = (pid: number): string =>
  ['nft list ruleset', 'tc qdisc show', 'iptables-save -c', 'ip6tables-save -c', 'ip -o link show']
    .map((command) => {
      const said = must('nsenter', [`--net=/proc/${pid}/ns/net`, '--', ...command.split(' ')])
      return `# ${command}\n${said.replace(/^# .*\n/gm, '')}`
    })
    .join('')

/** A network namespace with a process in it, as a pod's sandbox is one. */
export class PosedNetwork {
  readonly pid: number
  readonly #first: ChildProcess

  private constructor(first: ChildProcess) {
    this.#first = first
    this.pid = first.pid ?? 0
  }

  /** `pin`: the mount that holds it, which must be there; else it ends with its last process */
  static async make(pin?: string): Promise<PosedNetwork> {
    const [program, option] = pin === undefined ? ['unshare', '--net'] : ['nsenter', `--net=${pin}`]
    const child = spawn(program, [option, 'sh', '-c', 'ip link set lo up; echo; exec sleep 600'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    await once(child.stdout as NodeJS.ReadableStream, 'data')
    return new PosedNetwork(child)
  }

  /** Runs a command in it and gives its output; throws when it fails. */
  run(command: string, input?: string): string {
    return must('nsenter', [`--net=/proc/${this.pid}/ns/net`, '--', ...command.split(' ')], input)
  }

  /** A cable between two of them, `device` and an address of each family on either side. */
  cable(
    other: PosedNetwork,
    device: string,
    addresses: { mine: string[]; theirs: string[] },
  ): void {
    const far = `${device}p`
    this.run(`ip link add ${device} type veth peer name ${far} netns ${other.pid}`)
    const ends = [
      [this, device, addresses.mine],
      [other, far, addresses.theirs],
    ] as const
    for (const [place, name, list] of ends) {
      place.#quiet(name)
      for (const address of list)
        place.run(`ip addr add ${address} dev ${name}${address.includes(':') ? ' nodad' : ''}`)
      place.run(`ip link set ${name} up`)
    }
  }

  /** A device that sends nothing of its own accord once it is up: a test that counts packets counts only its own. */
  #quiet(device: string): void {
    const said = {
      [`ipv6/conf/${device}/router_solicitations`]: 0,
      [`ipv6/conf/${device}/accept_dad`]: 0,
      [`ipv6/conf/${device}/mldv2_unsolicited_report_interval`]: 1,
      [`ipv6/neigh/${device}/delay_first_probe_time`]: 3600,
      [`ipv4/neigh/${device}/delay_first_probe_time`]: 3600,
    }
    for (const [name, value] of Object.entries(said))
      this.run(`tee /proc/sys/net/${name}`, `${value}`)
  }

  image(): string {
    return networkImage(this.pid)
  }

  target(mark: string, more: Partial<FoundTarget> = {}): FoundTarget {
    const hands = new Hands('', {})
    return {
      id: 'demo/web/app',
      containerId: 'c',
      bootId: bootId(),
      pid: this.pid,
      startTicks: hands.process(this.pid)?.startTicks ?? 0,
      cgroups: [],
      enter: [],
      mark,
      ...more,
    }
  }

  end(): void {
    this.#first.kill('SIGKILL')
  }

  /** Resolves when its first process is no more. */
  async ended(): Promise<void> {
    this.end()
    if (this.#first.exitCode === null && this.#first.signalCode === null)
      await once(this.#first, 'exit')
  }
}

/** The node part of a fault on one target, step by step as the program takes them. */
export class Strike<Params, Plan> {
  readonly hands: Hands
  readonly facility: string
  readonly plan: Plan
  readonly #fault: NodeFault<Params, Plan>

  constructor(
    fault: NodeFault<Params, Plan>,
    place: PosedNetwork,
    {
      params,
      mark,
      hands,
      found: more,
    }: { params: Params; mark: string; hands?: Hands; found?: Partial<FoundTarget> },
  ) {
    this.#fault = fault
    this.hands = hands ?? new Hands('', process.env, [process.pid])
    const found = place.target(mark, more)
    const read = fault.params(JSON.parse(JSON.stringify(params)))
    this.facility = fault.facility(found, this.hands, read)
    const plan = fault.plan(found, { params: read, holdMs: 1000 }, this.hands)
    this.plan = JSON.parse(JSON.stringify(plan)) as Plan
  }

  inject(): string {
    this.#fault.inject(this.plan, this.hands)
    return this.#fault.verify(this.plan, this.hands)?.evidence ?? 'no effect seen'
  }

  revert(): string {
    this.#fault.revert(this.plan, this.hands)
    const proof = this.#fault.proof(this.plan, this.hands)
    return 'proof' in proof ? proof.proof : `left: ${JSON.stringify(proof)}`
  }

  /** What the guard or a human does: the undo file, run by a shell. */
  undoByScript(): void {
    const go = { fault: this.#fault.id, guardAt: 0, planned: [] }
    must('sh', [], undoScript(go, bootId(), [this.#fault.undo(this.plan)]))
  }
}
