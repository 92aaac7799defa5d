import { onTestFinished } from 'vitest'
import { attachMachine, type Machine } from '../cluster/vm/machine.ts'
import { type Story, World } from '../stories/world.ts'
import type { Json } from '../watchers/api.ts'
import { SilenceWatch, SlownessWatch, StressWatch } from '../watchers/machine.ts'

/** Containers on a processor without KVM take their time. */
const podWithinMs = 180_000

// The pod's cgroup, wherever its quality of service has put it.
const inGroup = (uid: string) =>
  `cd /sys/fs/cgroup/kubepods/pod${uid} 2>/dev/null || cd /sys/fs/cgroup/kubepods/*/pod${uid}`

// What could be wrong with a pod: processes that are not its own, and everything that could stop or delay a packet.
const stateScript = (uid: string) => `
${inGroup(uid)}
echo '# processes'
for pid in $(cat */cgroup.procs); do tr '\\0' ' ' </proc/$pid/cmdline; echo; done | sort
for pid in $(cat */cgroup.procs); do in="nsenter --net=/proc/$pid/ns/net --"; break; done
for look in 'ip -o link show' 'nft list ruleset' 'tc qdisc show' 'tc filter show' 'tc filter show dev eth0 egress' iptables-save ip6tables-save; do
  echo "# $look"
  # counters of packets, and the time at which iptables was asked
  $in $look 2>&1 | sed 's/^\\(# .*\\) on .*/\\1/; s/ direct_packets_stat [0-9]*//'
done`

const leftScript = `
find /var/lib/chaosplane -type f 2>/dev/null | sed 's/^/journal /'
for comm in /proc/[0-9]*/comm; do
  case $(cat $comm 2>/dev/null) in stress-ng*) echo "stressor $comm" ;; esac
done
for net in $(ip netns list | cut -d' ' -f1); do
  ip netns exec $net nft list tables | grep chaosplane
  ip netns exec $net tc qdisc show | grep netem
done
true`

/** What the stories do on the machine, and how they see what is done there. */
export class Guest {
  readonly world: World
  readonly machine: Machine
  readonly #targets: string[] = []

  private constructor(world: World) {
    this.world = world
    this.machine = attachMachine(world.installed)
  }

  static async begin(): Promise<Guest> {
    return new Guest(await World.begin())
  }

  /** Takes its targets away: the machine has room for a handful of pods. */
  async end(): Promise<void> {
    const { api, pods } = this.world
    for (const name of this.#targets)
      await api.remove(`/apis/apps/v1/namespaces/demo/deployments/${name}`)
    await pods.until('no pod of the targets', podWithinMs, () =>
      this.#targets.every((name) => this.world.podsOf(name).length === 0),
    )
    await this.world.end()
  }

  /** A deployment of one pod on the machine; `container` adds to a shell that sleeps. */
  async target(name: string, container: Json = {}): Promise<Json> {
    const labels = { app: name }
    this.#targets.push(name)
    await this.world.apply({
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name, namespace: 'demo', labels },
      spec: {
        replicas: 1,
        selector: { matchLabels: labels },
        template: {
          metadata: { labels },
          spec: {
            nodeSelector: { 'kubernetes.io/hostname': this.machine.name },
            tolerations: [{ operator: 'Exists' }],
            automountServiceAccountToken: false,
            terminationGracePeriodSeconds: 1,
            containers: [
              {
                name: 'app',
                image: 'docker.io/local/busybox:1',
                command: ['sleep', '1000000'],
                ...container,
              },
            ],
          },
        },
      },
    })
    return await this.pod(name)
  }

  /** The deployment's pod, once it is Ready. */
  async pod(name: string): Promise<Json> {
    const [pod] = await this.world.ready(name, 1, podWithinMs)
    return pod
  }

  /** Runs a script in the network of a pod; its first process is the sandbox's own, which outlives containers. */
  inNetwork(pod: Json, script: string): Promise<string> {
    const pid = `$(cat */cgroup.procs | sort -n | head -n 1)`
    const enter = `nsenter --net=/proc/${pid}/ns/net -- sh -euc '${script}'`
    return this.machine.run(`${inGroup(pod.metadata.uid)}\n${enter}`)
  }

  /** Echoes of the machine to an address, five a second: milliseconds of each that was answered. */
  async echoes(address: string, count: number): Promise<number[]> {
    const ping = `busybox ping -c ${count} -i 0.2 -W 3 ${address} || true`
    const said = await this.machine.run(ping, { timeoutMs: 30_000 + count * 300 })
    return [...said.matchAll(/ time=([\d.]+) ms/g)].map(([, ms]) => Number(ms))
  }

  /** How far the machine's clock is ahead of ours, milliseconds: it is set by the second at a boot. */
  async aheadMs(): Promise<number> {
    const from = Date.now()
    const theirs = Number(await this.machine.run('echo $EPOCHREALTIME')) * 1000
    return theirs - (from + Date.now()) / 2
  }

  /** Everything that a fault may have done to a pod, as the machine's own tools tell it. */
  state(pod: Json): Promise<string> {
    return this.machine.run(stateScript(pod.metadata.uid))
  }

  /** Asks the pod for answers, which a fault in its network swallows. */
  watchSilence(pod: Json): SilenceWatch {
    return untilTestEnds(new SilenceWatch(pod.status.podIP))
  }

  /** Takes the time of the pod's answers, which a delay in its network makes longer than this. */
  watchSlowness(pod: Json, slowMs: number): SlownessWatch {
    return untilTestEnds(new SlownessWatch(pod.status.podIP, slowMs))
  }

  /** Looks for stressors in the pod's cgroup, about every 100 ms. */
  watchStress(pod: Json): StressWatch {
    return untilTestEnds(new StressWatch(this.machine, inGroup(pod.metadata.uid)))
  }

  /** What a run must never leave, in the cluster and on the machine. Empty when all is well. */
  async residue(story: Story): Promise<string[]> {
    const here = (await this.machine.run(leftScript)).split('\n').filter(Boolean)
    return [...(await story.residue()), ...here]
  }
}

function untilTestEnds<Watch extends { close(): void }>(watch: Watch): Watch {
  onTestFinished(() => watch.close())
  return watch
}
