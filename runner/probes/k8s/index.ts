import { isForbidden, isNotFound, KubeError } from '../../../lib/kube/errors.ts'
import { resourcePath } from '../../../lib/kube/paths.ts'
import type { KubeObject } from '../../../lib/kube/types.ts'
import type { Trouble } from '../../../model/errors.ts'
import type { K8sInputs, ProbeOutcome } from '../../../model/probe.ts'
import { failed, notEvaluated, type ProbeIo, type ProbeKind, passed } from '../probe-io.ts'
import { readyCount } from './ready.ts'

/** What was found. `missing`: names that were asked for and do not exist. `more`: counting stopped early. */
export type K8sReading =
  | {
      kind: 'found'
      count: number
      ready: number
      /** the first names */
      some: string[]
      missing: string[]
      more: boolean
    }
  | { kind: 'impossible'; why: string }

type Page = { items: KubeObject[]; metadata: { continue?: string } }
type Look = { io: ProbeIo; inputs: K8sInputs; signal: AbortSignal }

const pageSize = '500'
/** No experiment needs to count further, and memory stays bounded. */
const maxCounted = 50_000

const error = (reason: string): Trouble => ({ code: 'K8S_PROBE_ERROR', reason })
const failure = (reason: string): Trouble => ({ code: 'K8S_PROBE_FAILURE', reason })

const full = ({ group, resource }: K8sInputs): string => (group ? `${resource}.${group}` : resource)
const where = ({ namespace }: K8sInputs): string =>
  namespace ? `in namespace ${namespace}` : 'in the whole cluster'

/** What is looked for, in words. */
function asked(inputs: K8sInputs): string {
  const parts = [`${full(inputs)} ${where(inputs)}`]
  if (inputs.resourceNames.length > 0) parts.push(`named ${inputs.resourceNames.join(', ')}`)
  if (inputs.labelSelector) parts.push(`with labels ${inputs.labelSelector}`)
  if (inputs.fieldSelector) parts.push(`with fields ${inputs.fieldSelector}`)
  return parts.join(' ')
}

const word = /^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/

function refuse(inputs: K8sInputs): Trouble | null {
  if (!inputs.version || !inputs.resource)
    return error(
      'A k8s probe needs version and resource (plural), for example version v1 and resource pods.',
    )
  // Admission asks for rights by these words, so none of them may be a path to something else.
  if (inputs.group && !word.test(inputs.group))
    return error(
      `${JSON.stringify(inputs.group)} is not an API group; write it as kubectl api-resources shows it, for example apps, or leave it out for the core kinds.`,
    )
  if (!word.test(inputs.resource) || !/^[a-z0-9]+$/.test(inputs.version))
    return error(
      `${inputs.version}/${inputs.resource} is not a resource; write its plural in lower case, as kubectl api-resources shows it.`,
    )
  return null
}

async function byName({ io, inputs, signal }: Look): Promise<KubeObject[]> {
  const found: KubeObject[] = []
  for (const name of inputs.resourceNames) {
    const path = resourcePath({ ...kindOf(inputs), ...placeOf(inputs), name })
    try {
      found.push(await io.kube.get<KubeObject>(path, callOf(io, signal)))
    } catch (thrown) {
      // without a name in the answer it is the resource itself that the API server does not know
      if (!(isNotFound(thrown) && thrown instanceof KubeError && thrown.details?.name)) throw thrown
    }
  }
  return found
}

type Part = { items: KubeObject[]; isLast: boolean }

async function* bySelector({ io, inputs, signal }: Look): AsyncGenerator<Part> {
  const path = resourcePath({ ...kindOf(inputs), ...placeOf(inputs) })
  let next = ''
  do {
    const query = {
      labelSelector: inputs.labelSelector,
      fieldSelector: inputs.fieldSelector,
      limit: pageSize,
      continue: next,
    }
    const page = await io.kube.get<Page>(path, { ...callOf(io, signal), query })
    next = page.metadata.continue ?? ''
    yield { items: page.items, isLast: next === '' }
  } while (next)
}

const kindOf = ({ group, version, resource }: K8sInputs) => ({ group, version, plural: resource })
const placeOf = ({ namespace }: K8sInputs) => (namespace ? { namespace } : {})
const callOf = (io: ProbeIo, signal: AbortSignal) => ({ signal, ...(io.as ? { as: io.as } : {}) })

/** Whether what was counted so far decides the probe. */
function decided(inputs: K8sInputs, seen: { count: number; ready: number }): boolean {
  if (inputs.resourceNames.length > 0) return false
  if (inputs.operation === 'absent') return seen.count > 0
  return (inputs.ready ? seen.ready : seen.count) >= inputs.minimum
}

async function look(at: Look): Promise<K8sReading> {
  const { inputs } = at
  const wanted = new Set(inputs.resourceNames)
  const selects = inputs.labelSelector !== '' || inputs.fieldSelector !== ''
  const seen = { count: 0, ready: 0, some: [] as string[] }
  const take = (objects: KubeObject[]): void => {
    for (const object of objects) {
      const { name } = object.metadata
      if (inputs.resourceNames.length > 0 && !wanted.delete(name)) continue
      seen.count += 1
      seen.ready += readyCount(object)
      if (seen.some.length < 5) seen.some.push(name)
    }
  }
  let more = false
  if (wanted.size > 0 && !selects) take(await byName(at))
  else
    for await (const { items, isLast } of bySelector(at)) {
      take(items)
      more = !isLast && (seen.count >= maxCounted || decided(inputs, seen))
      if (more) break
    }
  return { kind: 'found', ...seen, missing: [...wanted], more }
}

/** Why the API could not be read, with the right that lacks where that is the reason. */
function whyNot(thrown: unknown, { io, inputs }: Look): string {
  if (!(thrown instanceof KubeError)) throw thrown
  const verb = inputs.resourceNames.length > 0 && !selectors(inputs) ? 'get' : 'list'
  if (isForbidden(thrown))
    return `${io.as ?? 'The runner'} may not ${verb} ${full(inputs)} ${where(inputs)}; grant it by a ${inputs.namespace ? 'Role' : 'ClusterRole'} and bind it to that account.`
  if (isNotFound(thrown))
    return `The API server does not know ${full(inputs)} in version ${inputs.version}; kubectl api-resources lists what it knows.`
  return `${thrown.message}.`
}

const selectors = (inputs: K8sInputs): boolean =>
  inputs.labelSelector !== '' || inputs.fieldSelector !== ''

async function sample(inputs: K8sInputs, io: ProbeIo, signal: AbortSignal): Promise<K8sReading> {
  const at = { io, inputs, signal }
  try {
    return await look(at)
  } catch (thrown) {
    signal.throwIfAborted()
    return { kind: 'impossible', why: whyNot(thrown, at) }
  }
}

function assess(reading: K8sReading, inputs: K8sInputs): ProbeOutcome {
  if (reading.kind === 'impossible') return notEvaluated(error(reading.why))
  const { count, ready, some, missing, more } = reading
  const found = `${more ? 'at least ' : ''}${count} ${asked(inputs)} found${count > 0 ? ` (${some.join(', ')}${count > some.length ? ', …' : ''})` : ''}`
  if (inputs.operation === 'absent')
    return count === 0 ? passed(found) : failed(failure(`${found}, expected none.`))
  if (missing.length > 0)
    return failed(failure(`${found}, missing: ${missing.slice(0, 5).join(', ')}.`))
  if (inputs.ready)
    return ready >= inputs.minimum
      ? passed(`${found}, ${ready} ready`)
      : failed(failure(`${found}, ${ready} ready, expected at least ${inputs.minimum} ready.`))
  return count >= inputs.minimum
    ? passed(found)
    : failed(failure(`${found}, expected at least ${inputs.minimum}.`))
}

/** Looks whether objects exist, with the rights of the experiment's account. */
export const k8sProbe: ProbeKind<K8sInputs, K8sReading> = {
  refuse,
  sample: (inputs, io, { signal }) => sample(inputs, io, signal),
  assess,
  // an API server that does not answer says nothing about the service
  tooLate: (inputs, timeoutMs) =>
    notEvaluated(
      error(
        `The API server did not list ${asked(inputs)} within ${timeoutMs} ms; check its load or raise probeTimeout.`,
      ),
    ),
}
