import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'

/** What each binary is built from: a module of ours (folder under go/) or a module@version by itself. */
export type Source =
  | { from: 'folder'; folder: 'kubernetes' | 'etcd'; package: string }
  | { from: 'module'; package: string; version: string; flags?: string }

/** The version that every Kubernetes binary reports; go/kubernetes/go.mod names the same one. */
export const kubernetesVersion = 'v1.36.4'

const kubernetes = (name: string): Source => ({
  from: 'folder',
  folder: 'kubernetes',
  package: `k8s.io/kubernetes/cmd/${name}`,
})

/** All binaries that tests and the throw-away cluster need, in the order in which they are built. */
export const binaries = {
  'kube-apiserver': kubernetes('kube-apiserver'),
  'kube-controller-manager': kubernetes('kube-controller-manager'),
  'kube-scheduler': kubernetes('kube-scheduler'),
  kubelet: kubernetes('kubelet'),
  'kube-proxy': kubernetes('kube-proxy'),
  kubectl: kubernetes('kubectl'),
  etcd: { from: 'folder', folder: 'etcd', package: 'go.etcd.io/etcd/server/v3' },
  helm: { from: 'module', package: 'helm.sh/helm/v3/cmd/helm', version: 'v3.19.2' },
  coredns: {
    from: 'module',
    package: 'github.com/coredns/coredns',
    version: 'v1.12.4',
    // its go.mod lacks lines that its plugins need
    flags: '-mod=mod',
  },
} as const satisfies Record<string, Source>

/** Name of one of the binaries. */
export type Binary = keyof typeof binaries

/** Where go.mod and go.sum of the two modules of ours lie. */
export const goFolder = join(import.meta.dirname, 'go')

/** The per-user folder for everything that is slow to make. */
export function cacheFolder(env: NodeJS.ProcessEnv = process.env): string {
  return join(env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'chaosplane')
}

/** The folder of the binaries; its name changes with any version in them. */
export function binariesFolder(env: NodeJS.ProcessEnv = process.env): string {
  const hash = createHash('sha256').update(JSON.stringify([binaries, process.arch]))
  for (const folder of ['kubernetes', 'etcd'])
    for (const file of ['go.mod', 'go.sum']) hash.update(readFileSync(join(goFolder, folder, file)))
  const key = `kubernetes-${kubernetesVersion}-${hash.digest('hex').slice(0, 10)}`
  return join(cacheFolder(env), key, 'bin')
}

/** Full path of one binary. */
export function binary(name: Binary, env: NodeJS.ProcessEnv = process.env): string {
  return join(binariesFolder(env), name)
}
