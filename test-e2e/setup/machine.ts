import { existsSync } from 'node:fs'
import { type Binary, binaries, binariesFolder } from '../cluster/binaries.ts'
import { waitForLock } from '../cluster/lock.ts'
import { run, type Say, succeeds } from '../cluster/shell.ts'
import { buildBinary } from './build-binary.ts'

/** Debian packages behind the local cluster, the image build, and the fault program's tests on this machine's cgroups. */
const clusterPackages = [
  ...['containerd', 'runc', 'containernetworking-plugins', 'iptables', 'nftables', 'conntrack'],
  ...['socat', 'ethtool', 'iproute2', 'procps', 'openssl', 'ca-certificates'],
  ...['buildah', 'debootstrap', 'busybox-static', 'gcc', 'libc6-dev', 'stress-ng'],
]
/** What nodes in virtual machines need beside these. */
const vmPackages = ['qemu-system-x86', 'qemu-utils', 'e2fsprogs']

const otherWays = `What else would do:
  npm start -- --context NAME   a cluster that you have (with --image for an image that it can pull)
  docker and kind               installed and running: no root is needed then, and Go only for npm test`

/** `cluster`: all that nodes on this machine need; `vm`: and nodes in virtual machines; `api-server`: only what is built from Go. */
export type Need = 'cluster' | 'vm' | 'api-server'

const packagesOf: Record<Need, string[]> = {
  cluster: clusterPackages,
  vm: [...clusterPackages, ...vmPackages],
  'api-server': [],
}

/** Brings everything that is needed and missing; returns at once when all is there. */
export async function prepareMachine(need: Need, say: Say): Promise<void> {
  const missing = missingBinaries()
  const packagesFor = () => missingPackages(packagesOf[need])
  const wanted = await packagesFor()
  const problems = await problemsOf(need, missing, wanted)
  if (problems.length > 0)
    throw new Error(
      `This machine lacks what a cluster of its own needs:\n  ${problems.join('\n  ')}\n${otherWays}`,
    )
  if (missing.length === 0 && wanted.length === 0) return
  const lock = await waitForLock('prepare', 3_600_000, () =>
    say('another run prepares this machine; waiting for it'),
  )
  try {
    await installPackages(await packagesFor(), say)
    await buildBinaries(missingBinaries(), say)
  } finally {
    await lock.release()
  }
}

function missingBinaries(): Binary[] {
  const folder = binariesFolder()
  const names = Object.keys(binaries) as Binary[]
  return names.filter((name) => !existsSync(`${folder}/${name}`))
}

async function missingPackages(packages: string[]): Promise<string[]> {
  if (packages.length === 0) return []
  if (!(await succeeds('dpkg-query', ['--version']))) return packages
  // biome-ignore lint/suspicious/noTemplateCurlyInString: dpkg-query's own notation
  const format = '--showformat=${Package} ${db:Status-Status}\\n'
  // dpkg-query fails when it does not know one of them, and still prints the others.
  const known = await run('sh', [
    '-c',
    'dpkg-query -W "$@" 2>/dev/null || true',
    'sh',
    format,
    ...packages,
  ])
  const installed = new Set(
    known.split('\n').flatMap((line) => (line.endsWith(' installed') ? [line.split(' ')[0]] : [])),
  )
  return packages.filter((p) => !installed.has(p))
}

async function problemsOf(need: Need, missing: Binary[], wanted: string[]): Promise<string[]> {
  const problems: string[] = []
  if (process.platform !== 'linux' || !['x64', 'arm64'].includes(process.arch))
    problems.push(
      `it is ${process.platform}/${process.arch}; nodes as processes need Linux on x64 or arm64`,
    )
  if (need === 'vm' && process.arch !== 'x64')
    problems.push(`it is ${process.arch}; virtual machines are made for x64 only`)
  if (need !== 'api-server' && process.getuid?.() !== 0)
    problems.push(
      'root is missing: network namespaces and cgroups cannot be made without it; use sudo',
    )
  if (wanted.length > 0 && !(await succeeds('apt-get', ['--version'])))
    problems.push(`apt-get is missing; install these by hand: ${wanted.join(' ')}`)
  if (missing.length > 0 && !(await succeeds('go', ['version'])))
    problems.push(
      `Go is missing, and ${missing.length} of ${Object.keys(binaries).length} Kubernetes binaries have to be built once; install Go 1.21 or newer`,
    )
  return problems
}

async function installPackages(wanted: string[], say: Say): Promise<void> {
  if (wanted.length === 0) return
  say(`Debian packages: ${wanted.join(' ')}`)
  const limits = { timeoutMs: 900_000, env: { DEBIAN_FRONTEND: 'noninteractive' } }
  const wait = ['-o', 'DPkg::Lock::Timeout=300']
  await run('apt-get', [...wait, 'update', '-q'], limits)
  await run('apt-get', [...wait, 'install', '-qy', '--no-install-recommends', ...wanted], limits)
}

async function buildBinaries(missing: Binary[], say: Say): Promise<void> {
  if (missing.length === 0) return
  say(
    `Kubernetes' own binaries, built once into ${binariesFolder()} (about ten minutes on two cores)`,
  )
  for (const [i, name] of missing.entries()) {
    const started = performance.now()
    say(`building ${name} (${i + 1} of ${missing.length})`)
    await buildBinary(name, (s) => say(`still building ${name} (${s} s)`))
    say(`${name} is there after ${Math.round((performance.now() - started) / 1000)} s`)
  }
}
