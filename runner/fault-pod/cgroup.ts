/** Pure reading of /proc/<pid>/cgroup, /proc/<pid>/mountinfo and /proc/<pid>/stat. */

/** One line of /proc/<pid>/cgroup. Version 2 is hierarchy 0 without controllers. */
export type Membership = { controllers: string[]; path: string }

/** One mounted hierarchy. `root` is the part of it that is visible at `at`. */
export type CgroupMount = { at: string; root: string; controllers: string[] }

/** The lines of /proc/<pid>/cgroup. */
export function parseMembership(text: string): Membership[] {
  return text
    .split('\n')
    .map((line) => /^\d+:([^:]*):(\/.*)$/.exec(line))
    .filter((match) => match !== null)
    .map((match) => ({
      controllers: (match[1] ?? '').split(',').filter((name) => name !== ''),
      path: match[2] ?? '/',
    }))
}

/** The cgroup file systems of /proc/<pid>/mountinfo, both versions. */
export function parseCgroupMounts(mountinfo: string): CgroupMount[] {
  return mountinfo
    .split('\n')
    .map((line) => /^\d+ \d+ \S+ (\S+) (\S+) .* - (cgroup2?) \S+ (\S+)/.exec(line))
    .filter((match) => match !== null)
    .map((match) => ({
      at: match[2] ?? '',
      root: match[1] ?? '/',
      controllers: match[3] === 'cgroup2' ? [] : (match[4] ?? '').split(','),
    }))
}

/**
 * Whether a cgroup path is, or lies below, the container's own. Names by driver and runtime:
 * `<id>`, `cri-containerd-<id>.scope`, `docker-<id>.scope`, `crio-<id>.scope`, `crio-<id>`.
 * A monitor beside the container (`crio-conmon-<id>.scope`) is not the container.
 */
export function inContainer(path: string, containerId: string): boolean {
  return path.split('/').some((part) => {
    const name = part.replace(/\.scope$/, '')
    return (
      name.endsWith(containerId) &&
      /^(?:|[a-z]+-|cri-containerd-)$/.test(name.slice(0, -containerId.length))
    )
  })
}

/** Whether a path lies in the pod's cgroup; the systemd driver writes the uid with underscores. */
export const inPod = (path: string, podUid: string): boolean =>
  path.includes(`pod${podUid}`) || path.includes(`pod${podUid.replaceAll('-', '_')}`)

/** The id of the container, or the sandbox, in whose cgroup below that of the pod a path lies; null: in neither's. */
export function containerIn(path: string, podUid: string): string | null {
  const parts = path.split('/')
  const below = parts[parts.findLastIndex((part) => inPod(part, podUid)) + 1] ?? ''
  const id = /[0-9a-f]{64}(?=(?:\.scope)?$)/.exec(below)?.[0]
  return id !== undefined && inPod(path, podUid) && inContainer(below, id) ? id : null
}

/** The part of the path that ends with the container's own name: a process may live further down. */
function containerPath(path: string, containerId: string): string {
  const parts = path.split('/')
  const end = parts.findIndex((part) => inContainer(part, containerId))
  return parts.slice(0, end + 1).join('/')
}

/** Directories of the container's cgroup, one per hierarchy that knows the container. */
export function containerDirectories(
  memberships: readonly Membership[],
  mounts: readonly CgroupMount[],
  containerId: string,
): { dir: string; controllers: string[] }[] {
  return memberships.flatMap(({ controllers, path }) => {
    if (!inContainer(path, containerId)) return []
    const mount = mounts.find((one) => sameHierarchy(one.controllers, controllers))
    if (!mount) return []
    const whole = containerPath(path, containerId)
    const inside = mount.root === '/' ? whole : withoutRoot(whole, mount.root)
    return inside === null ? [] : [{ dir: mount.at + inside, controllers }]
  })
}

const sameHierarchy = (mounted: readonly string[], wanted: readonly string[]): boolean =>
  wanted.length === 0 ? mounted.length === 0 : wanted.every((name) => mounted.includes(name))

function withoutRoot(path: string, root: string): string | null {
  // a root such as `/../..` is seen from a cgroup namespace of one's own and names nothing here
  if (path.startsWith(`${root}/`)) return path.slice(root.length)
  return null
}

/** The fields of /proc/<pid>/stat that we use; the name may hold blanks and brackets. */
export function parseStat(
  text: string,
): { state: string; parent: number; cpuTicks: number; startTicks: number } | null {
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  const [state, parent, startTicks] = [fields[0], Number(fields[1]), Number(fields[19])]
  if (!state || !Number.isInteger(parent) || !Number.isInteger(startTicks)) return null
  return { state, parent, startTicks, cpuTicks: Number(fields[11]) + Number(fields[12]) }
}
