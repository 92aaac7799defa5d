/** A part of a cluster that can be broken. Those with a node name exist once per node. */
export type Component =
  | 'etcd'
  | 'kube-apiserver'
  | 'kube-controller-manager'
  | 'kube-scheduler'
  | 'coredns'
  | `containerd:${string}`
  | `kubelet:${string}`
  | `kube-proxy:${string}`

/** A Kubernetes cluster, wherever it comes from. */
export type Cluster = {
  provider: 'context' | 'kind' | 'local'
  /** path of a kubeconfig file with administrator's rights */
  kubeconfig: string
  apiUrl: string
  /** names of the nodes */
  nodes: string[]
  /** the API server's audit log (JSON lines), where it can be read */
  auditLog?: string
  /** where logs of the cluster's programs lie, where they can be read */
  logs?: string
  /** Makes the image of a docker archive known on every node. */
  importImage(archive: string, name: string): Promise<void>
  /** SIGKILL */
  kill(component: Component): Promise<void>
  /** SIGTERM, waits for the end */
  stop(component: Component): Promise<void>
  /** starts what was killed or stopped; etcd, kube-apiserver, containerd and kubelet are waited for until they answer */
  start(component: Component): Promise<void>
  /** kill and start */
  restart(component: Component): Promise<void>
  /** SIGSTOP: sockets stay open, nothing is answered */
  pause(component: Component): Promise<void>
  /** SIGCONT */
  resume(component: Component): Promise<void>
  /** Ends what was started for this cluster. A cluster that existed before stays. */
  down(): Promise<void>
}

/** What a running cluster with the product on it hands to tests in other processes; plain data. */
export type InstalledCluster = {
  provider: Cluster['provider']
  kubeconfig: string
  apiUrl: string
  nodes: string[]
  /** empty where it cannot be read */
  auditLog: string
  /** empty where they cannot be read */
  logs: string
  /** the image that the programs run from */
  image: string
  /** where operator, runner, server and fault pods are */
  namespace: string
  /** paths of the tools that speak to it */
  kubectl: string
  helm: string
}

/** The verbs of a cluster whose components cannot be reached. */
export function untouchable(
  why: string,
): Pick<Cluster, 'kill' | 'stop' | 'start' | 'restart' | 'pause' | 'resume'> {
  const refuse = (verb: string) => async (component: Component) => {
    throw new Error(`cannot ${verb} ${component}: ${why}; use the local provider for this`)
  }
  return {
    kill: refuse('kill'),
    stop: refuse('stop'),
    start: refuse('start'),
    restart: refuse('restart'),
    pause: refuse('pause'),
    resume: refuse('resume'),
  }
}
