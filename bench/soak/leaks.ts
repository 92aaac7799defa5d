import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { networkImage } from '../../test-e2e/stories/pod-network.ts'
import type { Json } from '../../test-e2e/watchers/api.ts'
import { podGroup, processesIn } from '../../test-e2e/watchers/cgroups.ts'
import { experiments, type Place } from '../place.ts'
import { objectLines } from './left.ts'

/** Everything that experiments can leave, one line each; two of them are compared. */
export type Surroundings = string[]

/** How all is now: once before the first experiment, and again after the last. */
export async function surroundings(place: Place, apps: string[]): Promise<Surroundings> {
  const [objects, journals] = [await objectsOf(place), await journalsOf(place)]
  return [...objects, ...journals, ...processesOf(place), ...targetsOf(place, apps)]
}

/** What is there now and was not before, and the other way round. */
export function differences(before: Surroundings, now: Surroundings): string[] {
  const [had, has] = [counted(before), counted(now)]
  return [...new Set([...before, ...now])].flatMap((line) => {
    const more = (has.get(line) ?? 0) - (had.get(line) ?? 0)
    if (more === 0) return []
    return [
      `${more > 0 ? 'left' : 'missing'}: ${line}${Math.abs(more) > 1 ? ` (${Math.abs(more)} times)` : ''}`,
    ]
  })
}

function counted(lines: string[]): Map<string, number> {
  const count = new Map<string, number>()
  for (const line of lines) count.set(line, (count.get(line) ?? 0) + 1)
  return count
}

async function objectsOf({ api, pods }: Place): Promise<string[]> {
  const listed = async (path: string): Promise<Json[]> => (await api.get(path)).items
  const [runs, leases, policies, deployments, nodes] = await Promise.all([
    listed(experiments),
    listed('/apis/coordination.k8s.io/v1/leases'),
    listed('/apis/networking.k8s.io/v1/networkpolicies'),
    listed('/apis/apps/v1/namespaces/demo/deployments'),
    listed('/api/v1/nodes'),
  ])
  const there = [...pods.objects.values()]
  return objectLines({ experiments: runs, leases, policies, deployments, nodes, pods: there })
}

/** Folders of runs on the nodes that hold anything. */
async function journalsOf({ api, cluster }: Place): Promise<string[]> {
  const { metadata } = await api.get('/api/v1/namespaces/kube-system')
  return cluster.nodes
    .map((node) => join('/var/lib/chaosplane', metadata.uid, node))
    .filter((folder) => existsSync(folder))
    .flatMap((folder) => readdirSync(folder).map((run) => join(folder, run)))
    .filter((run) => readdirSync(run).length > 0)
    .map((run) => `journal ${run}`)
}

/** Command lines in all pods; who was killed and came back has the same one. */
function processesOf({ pods, cluster }: Place): string[] {
  return [...pods.objects.values()].flatMap(({ metadata }) => {
    const group = podGroup(cluster.nodes, metadata.uid)
    const owner =
      metadata.labels?.app ?? metadata.labels?.['app.kubernetes.io/component'] ?? metadata.name
    return (group ? processesIn(group) : []).map(({ command }) => `process of ${owner}: ${command}`)
  })
}

/** What filters and shapes packets in the network of each target; without the addresses of the pod, which may be a new one. */
function targetsOf(place: Place, apps: string[]): string[] {
  return apps.flatMap((app) =>
    place.podsOf('app', app).map(({ metadata }) => {
      const group = podGroup(place.cluster.nodes, metadata.uid)
      const pids = (group ? processesIn(group) : []).map(({ pid }) => pid)
      if (pids.length === 0) return `target ${app}: no process`
      const [rules = ''] = networkImage({ pid: Math.min(...pids) }).split('# ip -o link show')
      return `target ${app}: ${rules.replace(/\s+/g, ' ')}`
    }),
  )
}
