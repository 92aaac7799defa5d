import type { Clock } from '../../../lib/clock.ts'
import type { KubeClient } from '../../../lib/kube/client.ts'
import { limit } from '../../../lib/kube/deadline.ts'
import { isAlreadyExists, isConflict, isNotFound, KubeError } from '../../../lib/kube/errors.ts'
import { pods, resourcePath } from '../../../lib/kube/paths.ts'
import { ChaosError } from '../../../model/errors.ts'
import type { CommandInputs } from '../../../model/probe.ts'
import type { CommandReading, CommandRunner } from '../probe-io.ts'
import type { Exec } from './exec.ts'
import {
  buildProbePod,
  commandWords,
  type ProbePodSettings,
  podKey,
  podName,
  probeContainer,
} from './pod.ts'
import { type ProbePod, readPod, untilRunning } from './running.ts'

/** The world as probe pods need it. */
export type CommandPodParts = {
  kube: KubeClient
  exec: Exec
  clock: Clock
  /** who makes the pods and runs commands in them; watching and deleting is done with our own rights */
  as: string | undefined
  settings: ProbePodSettings
  /** for a pod to run, from its creation; default 60 s */
  startMs?: number
}

/** A pod on its way. */
type Slot = { pod: Promise<ProbePod>; ready: Promise<void> }

const maxOutputBytes = 64 * 1024
const maxGenerations = 5

/** Runs the cmd probes of one task in as few pods as possible; each pod is made once and used by exec. */
export function createCommandPods(parts: CommandPodParts): CommandRunner {
  const { settings } = parts
  const slots = new Map<string, Slot>()
  // a name is noted before the API server is asked, so that the pod can always be removed
  const names = new Set<string>()
  const closing = new AbortController()
  let closed: Promise<void> | undefined

  const open = (inputs: CommandInputs): Slot => {
    const key = podKey(inputs)
    const known = slots.get(key)
    if (known) return known
    const slot = start(parts, { inputs, key, names, signal: closing.signal })
    slots.set(key, slot)
    // the next try makes another one
    slot.ready.catch(() => slots.get(key) === slot && slots.delete(key))
    return slot
  }
  const ready = async (inputs: CommandInputs, signal: AbortSignal): Promise<ProbePod> => {
    if (closed) throw impossible('the task is over; no command runs any more')
    const slot = open(inputs)
    await orAborted(slot.ready, signal)
    return await slot.pod
  }

  return {
    warm(inputs) {
      for (const one of inputs) if (!closed) open(one)
    },
    async prepare(inputs, signal) {
      await ready(inputs, signal)
    },
    async run(inputs, { timeoutMs, signal }): Promise<CommandReading> {
      const pod = await ready(inputs, signal)
      const place = { namespace: settings.namespace, pod: pod.metadata.name }
      try {
        const output = await parts.exec({
          ...place,
          container: probeContainer,
          command: commandWords(inputs, timeoutMs),
          signal,
          deadlineMs: timeoutMs + 5000,
          maxOutputBytes,
        })
        const { code, stdout, stderr, truncated } = output
        return { kind: 'ended', exitCode: code, stdout, stderr, cut: truncated }
      } catch (thrown) {
        signal.throwIfAborted()
        if (await isLost(parts, pod, signal)) slots.delete(podKey(inputs))
        return { kind: 'impossible', why: whyNoExec(thrown, parts, place.pod) }
      }
    },
    close(signal) {
      closing.abort(impossible('the task is over'))
      closed ??= removeAll(parts, { names, slots: [...slots.values()], signal })
      return closed
    },
  }
}

const impossible = (reason: string): ChaosError =>
  new ChaosError({ code: 'CMD_PROBE_ERROR', reason })

type Start = { inputs: CommandInputs; key: string; names: Set<string>; signal: AbortSignal }

function start(parts: CommandPodParts, what: Start): Slot {
  const { kube, clock, settings, startMs = 60_000 } = parts
  const slot = { pod: create(parts, what) }
  const watched = async (): Promise<void> => {
    const pod = await slot.pod
    const label = `The probe pod ${settings.namespace}/${pod.metadata.name}`
    let last = 'it was just created'
    const late = () =>
      impossible(
        `${label} did not run within ${startMs} ms (${last}); check its image and the room on the nodes.`,
      )
    const limited = limit(what.signal, startMs, late)
    try {
      await untilRunning(pod, { kube, clock, signal: limited.signal }, (why) => {
        last = why
      })
    } catch (thrown) {
      limited.signal.throwIfAborted()
      throw impossible(`${label} cannot run: ${(thrown as Error).message}.`)
    } finally {
      limited.end()
    }
  }
  const ready = watched()
  ready.catch(() => {})
  slot.pod.catch(() => {})
  return { ...slot, ready }
}

/** Makes the pod, or takes over the one that an earlier runner of the same run left running. */
async function create(parts: CommandPodParts, { inputs, key, names }: Start): Promise<ProbePod> {
  const { kube, settings, as } = parts
  const path = resourcePath({ ...pods, namespace: settings.namespace })
  // its own signal: a creation that is called off half-way could leave a pod that nobody knows
  const call = { signal: new AbortController().signal, deadlineMs: 15_000 }
  for (let generation = 0; generation < maxGenerations; generation++) {
    const name = podName(settings.name, key, generation)
    names.add(name)
    try {
      const body = buildProbePod(inputs, name, settings)
      return await kube.create<ProbePod>(path, body, { ...call, ...(as ? { as } : {}) })
    } catch (thrown) {
      if (!isAlreadyExists(thrown)) throw whyNoPod(thrown)
    }
    const found = await kube.find<ProbePod>(`${path}/${name}`, call)
    if (found && isOurs(found, settings) && readPod(found).state !== 'hopeless') return found
  }
  throw impossible(
    `${maxGenerations} probe pods ${podName(settings.name, key, 0)} were lost in namespace ${settings.namespace}; see what ends them.`,
  )
}

function whyNoPod(thrown: unknown): unknown {
  if (!(thrown instanceof KubeError)) return thrown
  return impossible(`The pod for the command could not be created: ${thrown.message}.`)
}

const isOurs = (pod: ProbePod, { labels }: ProbePodSettings): boolean =>
  Object.entries(labels).every(([name, value]) => pod.metadata.labels?.[name] === value)

/** Whether the pod can no longer be used; when that cannot be told, it is kept. */
async function isLost(
  { kube, settings: { namespace } }: CommandPodParts,
  pod: ProbePod,
  signal: AbortSignal,
): Promise<boolean> {
  const path = resourcePath({ ...pods, namespace, name: pod.metadata.name })
  try {
    const now = await kube.find<ProbePod>(path, { signal })
    return !now || now.metadata.uid !== pod.metadata.uid || readPod(now).state !== 'running'
  } catch {
    return false
  }
}

function whyNoExec(thrown: unknown, { as, settings }: CommandPodParts, pod: string): string {
  const { namespace } = settings
  if (thrown instanceof KubeError && thrown.status === 403)
    return `${as ?? 'The runner'} may not create pods/exec in namespace ${namespace}; grant it by a Role and bind it to that account.`
  // the path in front holds the command with its variables, which may be secret
  const said = thrown instanceof Error ? thrown.message.replace(/^\/\S+: /, '') : String(thrown)
  return `The command could not be run in the probe pod ${namespace}/${pod}: ${said}.`
}

type Begun = { names: ReadonlySet<string>; slots: Slot[]; signal: AbortSignal }

async function removeAll(
  { kube, settings }: CommandPodParts,
  { names, slots, signal }: Begun,
): Promise<void> {
  // what is being created now must be known before it can be removed
  const known = await Promise.allSettled(slots.map(({ pod }) => pod))
  const uids = new Map<string, string>()
  for (const one of known)
    if (one.status === 'fulfilled') uids.set(one.value.metadata.name, one.value.metadata.uid)
  await Promise.all(
    [...names].map(async (name) => {
      const path = resourcePath({ ...pods, namespace: settings.namespace, name })
      const uid = uids.get(name) ?? (await ourUid(kube, path, { settings, signal }))
      if (uid) await removeOne(kube, path, { uid, signal })
    }),
  )
}

/** The uid of a pod whose creation was not answered, or that was lost before. */
async function ourUid(
  kube: KubeClient,
  path: string,
  { settings, signal }: { settings: ProbePodSettings; signal: AbortSignal },
): Promise<string | undefined> {
  const pod = await kube.find<ProbePod>(path, { signal })
  return pod && isOurs(pod, settings) ? pod.metadata.uid : undefined
}

async function removeOne(
  kube: KubeClient,
  path: string,
  { uid, signal }: { uid: string; signal: AbortSignal },
): Promise<void> {
  try {
    await kube.remove(path, { uid, signal, gracePeriodSeconds: 1 })
  } catch (thrown) {
    // gone, or a namesake with another uid
    if (!isNotFound(thrown) && !isConflict(thrown)) throw thrown
  }
}

async function orAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted()
  const { promise: aborted, reject } = Promise.withResolvers<never>()
  const onAbort = (): void => reject(signal.reason)
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    return await Promise.race([promise, aborted])
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}
