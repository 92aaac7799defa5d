import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Cluster, untouchable } from './cluster.ts'
import { run } from './shell.ts'

type Config = {
  clusters: { cluster: { server: string } }[]
  contexts: { name: string }[]
}

/** A cluster that exists: one named context of the user's kubeconfig, copied so that nothing else is touched. */
export async function contextCluster(context: string): Promise<Cluster> {
  const view = ['config', 'view', '--raw', '--minify', '--flatten', `--context=${context}`]
  const text = await run('kubectl', [...view, '-o', 'json'])
  const config = JSON.parse(text) as Config
  const apiUrl = config.clusters[0]?.cluster.server
  if (!apiUrl)
    throw new Error(`context "${context}" names no cluster; see "kubectl config get-contexts"`)
  const folder = await mkdtemp(join(tmpdir(), 'chaosplane-context-'))
  const kubeconfig = join(folder, 'kubeconfig')
  await writeFile(kubeconfig, text, { mode: 0o600 })
  const down = () => rm(folder, { recursive: true, force: true })
  try {
    const nodes = await nodeNames('kubectl', kubeconfig)
    return {
      provider: 'context',
      kubeconfig,
      apiUrl,
      nodes,
      importImage: async (_archive, name) => {
        throw new Error(
          `images cannot be handed to the cluster of context "${context}": push ${name} to a registry that it can pull from, and name it with --image`,
        )
      },
      ...untouchable(`the cluster of context "${context}" is not ours`),
      down,
    }
  } catch (e) {
    await down()
    throw e
  }
}

/** Names of all nodes, as the API server has them. */
export async function nodeNames(kubectl: string, kubeconfig: string): Promise<string[]> {
  const flags = [`--kubeconfig=${kubeconfig}`, '--request-timeout=15s']
  const names = await run(kubectl, [...flags, 'get', 'nodes', '-o', 'name'])
  return names
    .split('\n')
    .filter(Boolean)
    .map((n) => n.replace('node/', ''))
}
