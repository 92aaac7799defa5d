import { chmod, mkdir, mkdtemp, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import {
  type Binary,
  binaries,
  binary,
  goFolder,
  kubernetesVersion,
  type Source,
} from '../cluster/binaries.ts'
import { run } from '../cluster/shell.ts'

/** Builds one binary out of Go modules into the cache folder; half a file never gets the final name. */
export async function buildBinary(name: Binary, tick: (seconds: number) => void): Promise<void> {
  const final = binary(name)
  await mkdir(dirname(final), { recursive: true })
  const work = await mkdtemp(join(dirname(final), '.build-'))
  const started = performance.now()
  const timer = setInterval(() => tick(Math.round((performance.now() - started) / 1000)), 15_000)
  try {
    const made = await goBuild(name, binaries[name], work)
    await chmod(made, 0o755)
    await rename(made, final)
  } finally {
    clearInterval(timer)
    await rm(work, { recursive: true, force: true })
  }
}

async function goBuild(name: Binary, source: Source, work: string): Promise<string> {
  const env: Record<string, string> = { CGO_ENABLED: '0', GOBIN: work }
  const limits = { timeoutMs: 1_800_000, env }
  if (source.from === 'module') {
    if (source.flags) env['GOFLAGS'] = source.flags
    const target = `${source.package}@${source.version}`
    await run('go', ['install', '-trimpath', '-ldflags', '-s -w', target], limits)
    return join(work, name)
  }
  const out = join(work, name)
  const flags = source.folder === 'kubernetes' ? versionFlags() : '-s -w'
  const folder = join(goFolder, source.folder)
  const args = ['-C', folder, 'build', '-trimpath', '-ldflags', flags, '-o', out, source.package]
  await run('go', args, limits)
  return out
}

/** What Kubernetes' own release build writes into its binaries: without it they call themselves v0.0.0. */
function versionFlags(): string {
  const [, minor] = kubernetesVersion.split('.')
  const values = {
    gitVersion: kubernetesVersion,
    gitMajor: '1',
    gitMinor: minor,
    gitTreeState: 'clean',
    gitCommit: '0'.repeat(40),
    buildDate: '2026-01-01T00:00:00Z',
  }
  const packages = ['k8s.io/component-base/version', 'k8s.io/client-go/pkg/version']
  const sets = packages.flatMap((p) => Object.entries(values).map(([k, v]) => `-X ${p}.${k}=${v}`))
  return ['-s -w', ...sets].join(' ')
}
