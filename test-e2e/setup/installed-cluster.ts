import { cp, mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { TestProject } from 'vitest/node'
import type { Cluster, InstalledCluster } from '../cluster/cluster.ts'
import { contextCluster } from '../cluster/context.ts'
import { chaosplaneImage } from '../cluster/image.ts'
import { run } from '../cluster/shell.ts'
import { clientTool, throwAwayCluster } from '../cluster/throw-away.ts'

declare module 'vitest' {
  interface ProvidedContext {
    /** clusters with the product on them, one for each worker; `attachCluster` gives the verbs that break components */
    clusters: InstalledCluster[]
  }
}

const chart = join(import.meta.dirname, '../../config/chart')
const namespace = 'chaosplane'
const started = performance.now()
/** What is up, to be taken down. */
const up: { cluster: Cluster; installed: InstalledCluster }[] = []
let failedTests: () => number = () => 0

/** For each worker a cluster of two nodes with the chart installed, for all stories that it will run. */
export async function setup(project: TestProject): Promise<void> {
  // A cluster of the developer's own: CHAOSPLANE_CONTEXT names it, CHAOSPLANE_IMAGE an image that it can pull.
  const context = process.env['CHAOSPLANE_CONTEXT']
  const image = context ? imageFromEnvironment() : await chaosplaneImage(say)
  await bringUp(project, image.name, () =>
    context
      ? contextCluster(context)
      : throwAwayCluster({ nodes: 2, images: [image.archive], say }),
  )
}

/**
 * Makes a cluster for each worker of the project, installs the chart with this image, and provides them to the tests;
 * `teardown` takes them down.
 */
export async function bringUp(
  project: TestProject,
  image: string,
  make: () => Promise<Cluster>,
): Promise<void> {
  failedTests = () => project.vitest.state.getCountOfFailedTests()
  say(`image ${image}`)
  const workers = Array.from({ length: project.config.maxWorkers })
  const came = await Promise.allSettled(workers.map(() => bringOneUp(image, make)))
  const failed = came.find((one) => one.status === 'rejected')
  if (failed) {
    await Promise.all(up.map(({ cluster }) => cluster.down()))
    throw failed.reason
  }
  say('operator, runner and server are up')
  project.provide(
    'clusters',
    up.map(({ installed }) => installed),
  )
}

async function bringOneUp(image: string, make: () => Promise<Cluster>): Promise<void> {
  const cluster = await make()
  const installed = {
    provider: cluster.provider,
    kubeconfig: cluster.kubeconfig,
    apiUrl: cluster.apiUrl,
    nodes: cluster.nodes,
    auditLog: cluster.auditLog ?? '',
    logs: cluster.logs ?? '',
    image,
    namespace,
    kubectl: await clientTool('kubectl'),
    helm: await clientTool('helm'),
  }
  try {
    await install(installed)
  } catch (e) {
    const where = await keepLogs(installed)
    await cluster.down()
    throw new Error(`the chart did not come up; logs are kept in ${where}`, { cause: e })
  }
  up.push({ cluster, installed })
}

/** Takes the clusters down; when a test failed, keeps their logs and says where. `more` puts others beside them. */
export async function teardown(more: (folder: string) => Promise<void> = async () => {}) {
  const isFailed = failedTests() > 0
  await Promise.all(
    up.map(async ({ cluster, installed }) => {
      if (isFailed) {
        const folder = await keepLogs(installed)
        await more(folder)
        console.error(`e2e: logs of ${installed.nodes.join(', ')} are kept in ${folder}`)
      }
      if (cluster.provider === 'context') await uninstall(installed)
      await cluster.down()
    }),
  )
}

/** Prints what is being done, with the seconds since the start. */
export function say(line: string): void {
  console.log(`e2e ${Math.round((performance.now() - started) / 1000)} s  ${line}`)
}

function imageFromEnvironment(): { name: string; archive: string } {
  const name = process.env['CHAOSPLANE_IMAGE']
  if (!name)
    throw new Error('CHAOSPLANE_CONTEXT is set: set CHAOSPLANE_IMAGE to an image that it can pull')
  return { name, archive: '' }
}

async function install(on: InstalledCluster): Promise<void> {
  say(`installing the chart on the cluster of ${on.nodes.join(', ')}`)
  const flags = [`--kubeconfig=${on.kubeconfig}`, '--namespace', namespace, '--create-namespace']
  const wait = ['--set', `image=${on.image}`, '--wait', '--timeout', '150s']
  await run(on.helm, ['upgrade', '--install', 'chaosplane', chart, ...flags, ...wait], {
    timeoutMs: 180_000,
  })
}

async function uninstall(on: InstalledCluster): Promise<void> {
  const flags = [`--kubeconfig=${on.kubeconfig}`, '--namespace', namespace, '--wait']
  await run(on.helm, ['uninstall', 'chaosplane', ...flags], { timeoutMs: 300_000 })
}

/** Copies everything that explains a failure to a folder that outlives the cluster. */
async function keepLogs(on: InstalledCluster): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'chaosplane-e2e-logs-'))
  const kubectl = async (file: string, ...args: string[]) => {
    const text = await run(on.kubectl, [`--kubeconfig=${on.kubeconfig}`, ...args], {
      timeoutMs: 30_000,
    }).catch(String)
    await writeFile(join(folder, file), text)
  }
  await kubectl('pods.txt', 'get', 'pods', '-A', '-o', 'wide')
  await kubectl('pods.yaml', 'get', 'pods', '-A', '-o', 'yaml')
  await kubectl('events.txt', 'get', 'events', '-A', '--sort-by=.lastTimestamp')
  await kubectl('experiments.yaml', 'get', 'chaos', '-A', '-o', 'yaml')
  const all = ['--all-containers', '--prefix', '--tail=-1', '--ignore-errors']
  for (const component of ['operator', 'runner', 'server'])
    await kubectl(
      `${component}.log`,
      ...['logs', '-n', namespace, ...all, '-l', `app.kubernetes.io/component=${component}`],
    )
  if (on.logs) await cp(on.logs, join(folder, 'components'), { recursive: true })
  if (on.auditLog) await cp(on.auditLog, join(folder, 'audit.log'))
  // Also what pods that are gone by now have said.
  if (on.provider === 'local')
    for (const node of on.nodes)
      await cp(join(dirname(on.kubeconfig), node, 'pod-logs'), join(folder, node), {
        recursive: true,
      })
  return folder
}
