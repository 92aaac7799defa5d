import type { KubeClient } from '../../lib/kube/client.ts'
import { isForbidden } from '../../lib/kube/errors.ts'
import { resourcePath, secrets } from '../../lib/kube/paths.ts'
import type { KubeObject } from '../../lib/kube/types.ts'
import { ChaosError } from '../../model/errors.ts'
import { type ProbeFile, type ProbePlan, probeFiles, type SecretKey } from '../../model/probe.ts'
import { type Account, missingRight, mustExist, userOf } from './rights.ts'

type Place = { kube: KubeClient; account: Account; signal: AbortSignal }
type Secret = KubeObject & { data?: Record<string, string> }

/** Reads keys of Secrets in the account's namespace with the account's rights; every Secret once. */
export class ProbeFiles {
  readonly #place: Place
  readonly #read = new Map<string, Promise<Secret | undefined>>()

  constructor(place: Place) {
    this.#place = place
  }

  /** The probe with the contents of its files; throws ChaosError that names what is missing. */
  async fill(probe: ProbePlan): Promise<ProbePlan> {
    if (probe.type !== 'httpProbe') return probe
    const { files } = probe.inputs
    const texts: Partial<Record<ProbeFile, string>> = {}
    for (const file of probeFiles)
      if (files[file]) texts[file] = await this.#textOf(files[file], probe.name)
    const { auth, tls, body } = probe.inputs
    const { ca = tls.ca, cert = tls.cert, key = tls.key } = texts
    // A file that an editor wrote ends with a line end, which is no part of a password.
    const credentials = texts.credentials?.trimEnd() ?? auth?.credentials ?? ''
    const inputs = {
      ...probe.inputs,
      auth: auth && { ...auth, credentials },
      body: texts.body ?? body,
      tls: { ...tls, ca, cert, key },
    }
    return { ...probe, inputs }
  }

  async #textOf({ secret, key }: SecretKey, probe: string): Promise<string> {
    const found = await this.#secret(secret)
    const { namespace } = this.#place.account
    const data = found?.data ?? {}
    if (Object.hasOwn(data, key)) return Buffer.from(data[key] ?? '', 'base64').toString('utf8')
    const reason = found
      ? `probe ${probe} needs the key ${key} of Secret ${namespace}/${secret}, which has ${Object.keys(data).join(', ') || 'none'}: correct the key, or add it`
      : `probe ${probe} needs Secret ${namespace}/${secret}, which does not exist: create it with the key ${key}`
    throw new ChaosError({ code: 'HTTP_PROBE_ERROR', reason })
  }

  #secret(name: string): Promise<Secret | undefined> {
    const known = this.#read.get(name)
    if (known) return known
    const reading = this.#get(name)
    this.#read.set(name, reading)
    return reading
  }

  async #get(name: string): Promise<Secret | undefined> {
    const { kube, account, signal } = this.#place
    const { namespace } = account
    try {
      const path = resourcePath({ ...secrets, namespace, name })
      return await kube.find<Secret>(path, { as: userOf(account), signal })
    } catch (error) {
      if (!isForbidden(error)) throw error
      await mustExist(kube, account, signal)
      const right = { verb: 'get', resource: `secrets/${name}`, namespace }
      throw missingRight(account, right, 'with resourceNames, so that it may read no other Secret')
    }
  }
}
