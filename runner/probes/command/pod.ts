import { createHash } from 'node:crypto'
import type { OwnerReference } from '../../../lib/kube/types.ts'
import type { PodSettings } from '../../../model/plan.ts'
import type { CommandInputs } from '../../../model/probe.ts'
import { pullSecretsOf } from '../../../model/pull-secrets.ts'

/** What all probe pods of one task have in common. */
export type ProbePodSettings = {
  /** our own image, for inline commands */
  image: string
  imagePullPolicy: string
  /** of the product, for its image; found where the experiment's namespace has Secrets of these names */
  imagePullSecrets: readonly string[]
  /** the experiment's */
  namespace: string
  /** begin of the pods' names: tells run and task apart from all others */
  name: string
  labels: Record<string, string>
  /** the experiment, in the same namespace: its deletion takes the pods along */
  owner: OwnerReference | null
  /** the pods end by themselves after so long, whatever became of us */
  lifeSeconds: number
  /** what the experiment says about its pods */
  pods: PodSettings
}

/** Where commands run. */
export const probeContainer = 'probe'

/** Ends at once on TERM: a shell as process 1 ignores it otherwise. */
const idle = (seconds: number): string[] => [
  '/bin/sh',
  '-c',
  'trap "exit 0" TERM; sleep "$1" & wait',
  'probe',
  String(seconds),
]

const resources = {
  // a limit without a request is requested too, and nodes that count no storage would have no room
  requests: { cpu: '10m', memory: '16Mi', 'ephemeral-storage': '0' },
  limits: { cpu: '1', memory: '128Mi', 'ephemeral-storage': '64Mi' },
}

/** Pods are shared by the probes whose commands run in the same image in the same way. */
export function podKey({ source }: CommandInputs): string {
  const text = source ? JSON.stringify([source.image, source.command, source.args]) : 'inline'
  return createHash('sha256').update(text).digest('hex').slice(0, 8)
}

/** A name that the next runner finds again; `generation` counts pods that were lost. */
export function podName(base: string, key: string, generation: number): string {
  // the hash keeps two long names apart whose beginnings are the same
  const apart = createHash('sha256').update(`${base} ${key}`).digest('hex').slice(0, 8)
  const tail = `probe-${apart}${generation > 0 ? `-${generation}` : ''}`
  const plain = base.toLowerCase().replace(/[^a-z0-9]+/g, '-')
  const head = plain.slice(0, 62 - tail.length).replace(/^-+|-+$/g, '') || 'cmd'
  return `${head}-${tail}`
}

/**
 * A pod that waits for commands: no token, no rights, no volume (a volume costs a quarter of a second).
 * The root file system is writable because commands expect to write to /tmp; user 65532 can write nowhere else.
 */
export function buildProbePod(
  inputs: CommandInputs,
  name: string,
  settings: ProbePodSettings,
): Record<string, unknown> {
  const { source } = inputs
  const { pods } = settings
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name,
      namespace: settings.namespace,
      labels: { ...pods.labels, ...settings.labels },
      // a mesh's proxy would start after the command's container, and would never end
      annotations: { 'sidecar.istio.io/inject': 'false', ...pods.annotations },
      ...(settings.owner ? { ownerReferences: [settings.owner] } : {}),
    },
    spec: {
      restartPolicy: 'Never',
      automountServiceAccountToken: false,
      enableServiceLinks: false,
      terminationGracePeriodSeconds: 1,
      activeDeadlineSeconds: settings.lifeSeconds,
      ...(pods.tolerations ? { tolerations: pods.tolerations } : {}),
      ...pullSecretsOf(source ? [] : settings.imagePullSecrets, pods.imagePullSecrets),
      securityContext: {
        seccompProfile: { type: 'RuntimeDefault' },
        ...(source ? {} : { runAsNonRoot: true, runAsUser: 65532, runAsGroup: 65532 }),
      },
      containers: [
        {
          name: probeContainer,
          image: source?.image ?? settings.image,
          imagePullPolicy: source?.imagePullPolicy || settings.imagePullPolicy,
          ...entryOf(inputs, settings.lifeSeconds),
          resources: pods.resources ?? resources,
          securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
        },
      ],
    },
  }
}

/** What keeps the container alive: the user's own words, else ours. */
function entryOf(
  { source }: CommandInputs,
  seconds: number,
): { command?: string[]; args?: string[] } {
  if (!source || (source.command.length === 0 && source.args.length === 0))
    return { command: idle(seconds) }
  return {
    ...(source.command.length > 0 ? { command: source.command } : {}),
    ...(source.args.length > 0 ? { args: source.args } : {}),
  }
}

// Closing the connection does not end what exec began: timeout does. An image of the user's may lack it.
const bounded = `limit=$1 command=$2; shift 2
if command -v timeout >/dev/null 2>&1
then exec timeout -s KILL "$limit" env "$@" /bin/sh -c "$command"
else exec env "$@" /bin/sh -c "$command"
fi`

/** The words that run a command of a probe, ended a second after its time at the latest. */
export function commandWords({ command, env }: CommandInputs, timeoutMs: number): string[] {
  const seconds = String(Math.ceil(timeoutMs / 1000) + 1)
  const variables = env.map(({ name, value }) => `${name}=${value}`)
  return ['/bin/sh', '-c', bounded, 'probe', seconds, command, ...variables]
}
