import { parse } from 'yaml'
import type { CommandInputs, Comparator, HttpInputs, K8sInputs, SecretKey } from '../probe.ts'
import { checkName, isBlank, refuseBlank } from './names.ts'
import { isObject, type Json, type Problems, saysNothing, unknownKeys } from './problems.ts'

/** Where the reader stands, and what it has found. */
export type At = { path: string; problems: Problems }

const inside = ({ path, problems }: At, key: string): At => ({ path: `${path}.${key}`, problems })

const numeric = ['>=', '<=', '>', '<', '==', '!=', 'oneOf', 'between'] as const
const textual = ['equal', 'notEqual', 'contains', 'matches', 'notMatches', 'oneOf'] as const
const textCriteria = ['contains', 'equal', 'notEqual', 'matches', 'notMatches', 'oneOf'] as const

/** A text field; a number or a flag is taken as its text. */
export function textField(value: Json, key: string, at: At): string {
  const found = value[key]
  if (found === null || found === undefined) return ''
  if (['string', 'number', 'boolean'].includes(typeof found)) return String(found)
  at.problems.refuse(`${at.path}.${key}`, 'a text is needed', 'write a text')
  return ''
}

export function needed(value: Json, key: string, at: At): string {
  const found = textField(value, key, at)
  if (found.trim() === '')
    at.problems.refuse(`${at.path}.${key}`, 'it is missing', `write the ${key} of the probe`)
  return found
}

function objectField(value: Json, key: string, at: At): Json {
  const found = value[key]
  if (found === null || found === undefined || found === '') return {}
  if (isObject(found)) return found
  at.problems.refuse(`${at.path}.${key}`, 'an object is needed', 'write fields below it')
  return {}
}

const flagField = (value: Json, key: string): boolean => String(value[key] ?? '') === 'true'

const secretKey = /^([a-z0-9]([-a-z0-9.]*[a-z0-9])?)\/([-._a-zA-Z0-9]+)$/

/** What is a file elsewhere is a key of a Secret here: the disk of the runner is nobody's business. */
function fileField(value: Json, key: string, at: At): SecretKey | null {
  const written = textField(value, key, at).trim()
  if (written === '') return null
  const [, secret, , name] = secretKey.exec(written) ?? []
  if (secret && name) return { secret, key: name }
  at.problems.refuse(
    `${at.path}.${key}`,
    `${JSON.stringify(written)} is not SECRET/KEY; files are never read from the disk of the runner`,
    'write the value into the probe, or put it into a Secret of the namespace of the experiment and write for example probe-login/token',
  )
  return null
}

/** A value that stands in the probe or in a Secret, not in both. */
function eitherWay(value: Json, [inline, file]: [string, string], at: At) {
  const found = fileField(value, file, at)
  const text = textField(value, inline, at)
  if (found && text.trim() !== '')
    at.problems.refuse(
      `${at.path}.${file}`,
      `${inline} is given too`,
      `leave ${inline} or ${file} out`,
    )
  return { text: found ? '' : text, file: found }
}

const methods = ['get', 'post', 'head', 'put'] as const

function methodOf(inputs: Json, at: At): Pick<HttpInputs, 'method'> & { body: Json; at: At } {
  const written = inputs['method']
  if (typeof written === 'string' && written !== '') {
    const word = at.problems.oneOf(`${at.path}.method`, written, methods) ?? 'get'
    return { method: word.toUpperCase() as HttpInputs['method'], body: inputs, at }
  }
  const all = objectField(inputs, 'method', at)
  const there = inside(at, 'method')
  unknownKeys(all, { ...there, known: methods })
  const given = methods.filter((m) => all[m] !== null && all[m] !== undefined)
  if (given.length > 1)
    there.problems.refuse(there.path, `${given.join(' and ')} are given`, 'give one method')
  const method = given[0] ?? 'get'
  return {
    method: method.toUpperCase() as HttpInputs['method'],
    body: objectField(all, method, there),
    at: inside(there, method),
  }
}

function responseOf(
  body: Json,
  key: 'responseCode' | 'responseBody',
  at: At,
): HttpInputs['responseCode'] {
  const value = textField(body, key, at)
  if (value === '') return null
  const written = textField(body, 'criteria', at) || (key === 'responseCode' ? '==' : 'contains')
  const known: readonly string[] = key === 'responseCode' ? numeric : textCriteria
  const criteria = at.problems.oneOf(`${at.path}.criteria`, written, known)
  return criteria === null ? null : { criteria, value }
}

type Files = HttpInputs['files']

function authOf(inputs: Json, files: Files, at: At): HttpInputs['auth'] {
  const auth = objectField(inputs, 'auth', at)
  if (saysNothing(auth)) return null
  const there = inside(at, 'auth')
  unknownKeys(auth, { ...there, known: ['type', 'credentials', 'credentialsFile'] })
  const type = there.problems.oneOf(`${there.path}.type`, needed(auth, 'type', there), [
    'Basic',
    'Bearer',
  ] as const)
  const { text, file } = eitherWay(auth, ['credentials', 'credentialsFile'], there)
  if (file) files.credentials = file
  else if (saysNothing(auth['credentialsFile'])) needed(auth, 'credentials', there)
  return type === null ? null : { type, credentials: text }
}

function tlsOf(tls: Json, files: Files, at: At): HttpInputs['tls'] {
  const known = ['caFile', 'certFile', 'keyFile', 'insecureSkipVerify', 'serverName']
  unknownKeys(tls, { ...at, known })
  for (const name of ['ca', 'cert', 'key'] as const) {
    const file = fileField(tls, `${name}File`, at)
    if (file) files[name] = file
  }
  if (saysNothing(tls['certFile']) !== saysNothing(tls['keyFile'])) {
    const missing = saysNothing(tls['certFile']) ? 'certFile' : 'keyFile'
    at.problems.refuse(
      `${at.path}.${missing}`,
      'a certificate and its key belong together',
      `write ${missing} too`,
    )
  }
  return { ca: '', cert: '', key: '', serverName: textField(tls, 'serverName', at).trim() }
}

/** Inputs of an httpProbe. */
export function httpInputs(inputs: Json, at: At): HttpInputs {
  const url = needed(inputs, 'url', at)
  if (url !== '' && !/^https?:\/\/\S+$/.test(url))
    at.problems.refuse(
      `${at.path}.url`,
      `${JSON.stringify(url)} is not an http or https URL`,
      'write for example http://service.namespace.svc:8080/health',
    )
  const files: Files = {}
  const tls = objectField(inputs, 'tlsConfig', at)
  const { method, body, at: there } = methodOf(inputs, at)
  const known = ['criteria', 'responseCode', 'responseBody', 'contentType', 'body', 'bodyPath']
  if (body !== inputs) unknownKeys(body, { ...there, known })
  const all = [
    'url',
    'insecureSkipVerify',
    'headers',
    'auth',
    'tlsConfig',
    'method',
    'responseTimeout',
  ]
  unknownKeys(inputs, { ...at, known: body === inputs ? [...all, ...known] : all })
  if (!saysNothing(inputs['responseTimeout']))
    at.problems.note(`${at.path}.responseTimeout is not used; runProperties.probeTimeout counts.`)
  const both = !saysNothing(body['responseCode']) && !saysNothing(body['responseBody'])
  if (both)
    there.problems.refuse(
      there.path,
      'responseCode and responseBody share one criteria',
      'give one of them',
    )
  const sent = eitherWay(body, ['body', 'bodyPath'], there)
  // What is not sent is not read either: no right to the Secret is asked for.
  if (method === 'POST' || method === 'PUT') {
    if (sent.file) files.body = sent.file
  } else
    for (const key of ['body', 'bodyPath', 'contentType'])
      if (!saysNothing(body[key]))
        there.problems.note(`${there.path}.${key} is not sent by ${method}.`)
  return {
    url,
    method,
    tls: tlsOf(tls, files, inside(at, 'tlsConfig')),
    files,
    headers: Object.fromEntries(
      Object.entries(objectField(inputs, 'headers', at)).map(([name, value]) => [
        name,
        String(value),
      ]),
    ),
    contentType: textField(body, 'contentType', there),
    body: sent.text,
    insecureSkipVerify:
      flagField(inputs, 'insecureSkipVerify') || flagField(tls, 'insecureSkipVerify'),
    auth: authOf(inputs, files, at),
    responseCode: responseOf(body, 'responseCode', there),
    responseBody: responseOf(body, 'responseBody', there),
  }
}

function comparatorOf(inputs: Json, at: At): Comparator {
  const comparator = objectField(inputs, 'comparator', at)
  const there = inside(at, 'comparator')
  unknownKeys(comparator, { ...there, known: ['type', 'criteria', 'value'] })
  const type =
    there.problems.oneOf(`${there.path}.type`, textField(comparator, 'type', there) || 'string', [
      'int',
      'float',
      'string',
    ] as const) ?? 'string'
  const known: readonly string[] = type === 'string' ? textual : numeric
  const written = needed(comparator, 'criteria', there)
  const criteria =
    written === '' ? '' : (there.problems.oneOf(`${there.path}.criteria`, written, known) ?? '')
  return { type, criteria, value: textField(comparator, 'value', there) }
}

const refusedInSource = ['hostNetwork', 'privileged', 'volumes', 'volumeMount', 'volumeMounts']
const notedInSource = [
  'inheritInputs',
  'annotations',
  'labels',
  'nodeSelector',
  'tolerations',
  'imagePullSecrets',
]

function sourceObject(value: unknown, at: At): Json | null {
  if (saysNothing(value)) return null
  if (isObject(value)) return value
  try {
    const read: unknown = parse(String(value))
    if (isObject(read)) return read
  } catch {
    // The refusal below says what is wanted; where the text stops being YAML is of no use in one line.
  }
  at.problems.refuse(at.path, 'it is no object and no text of one', 'write image: … below source')
  return null
}

const words = (value: unknown): string[] =>
  Array.isArray(value)
    ? value.map(String)
    : String(value ?? '')
        .split(/\s+/)
        .filter((w) => w !== '')

function sourceOf(inputs: Json, at: At): CommandInputs['source'] {
  const there = inside(at, 'source')
  const source = sourceObject(inputs['source'], there)
  if (source === null) return null
  for (const key of refusedInSource)
    if (!saysNothing(source[key]))
      there.problems.refuse(
        `${there.path}.${key}`,
        'a probe pod never gets more rights than an ordinary pod',
        `leave ${key} out`,
      )
  for (const key of notedInSource)
    if (!saysNothing(source[key])) there.problems.note(`${there.path}.${key} is not used.`)
  unknownKeys(source, {
    ...there,
    known: [
      'image',
      'command',
      'args',
      'env',
      'imagePullPolicy',
      ...refusedInSource,
      ...notedInSource,
    ],
  })
  return {
    image: needed(source, 'image', there),
    command: words(source['command']),
    args: words(source['args']),
    imagePullPolicy: textField(source, 'imagePullPolicy', there) || 'IfNotPresent',
  }
}

function envOf(inputs: Json, at: At): CommandInputs['env'] {
  const env = inputs['env']
  if (saysNothing(env)) return []
  if (!Array.isArray(env)) {
    at.problems.refuse(`${at.path}.env`, 'a list is needed', 'write - name: … with value: …')
    return []
  }
  return env.flatMap((entry: unknown, i) => {
    const there = inside(at, `env[${i}]`)
    if (!isObject(entry)) {
      there.problems.refuse(there.path, 'an object is needed', 'write name and value')
      return []
    }
    unknownKeys(entry, { ...there, known: ['name', 'value', 'valueFrom'] })
    refuseValueFrom(entry, there)
    return [{ name: needed(entry, 'name', there), value: textField(entry, 'value', there) }]
  })
}

/** References would be resolved with rights that the author of the document may not have. */
export function refuseValueFrom(entry: Json, at: At): void {
  if (!saysNothing(entry['valueFrom']))
    at.problems.refuse(
      `${at.path}.valueFrom`,
      'references are not resolved here',
      'write the value',
    )
}

/** Inputs of a cmdProbe. */
export function commandInputs(inputs: Json, at: At): CommandInputs {
  unknownKeys(inputs, { ...at, known: ['command', 'comparator', 'env', 'source'] })
  return {
    command: needed(inputs, 'command', at),
    comparator: comparatorOf(inputs, at),
    env: envOf(inputs, at),
    source: sourceOf(inputs, at),
  }
}

/** Objects of any kind by name: some are called what pods cannot be, so only what no URL takes is refused. */
function resourceNames(value: unknown, { path, problems }: At): string[] {
  const given = Array.isArray(value) ? value.map(String).join(',') : String(value ?? '')
  if (isBlank(given)) refuseBlank(path, problems)
  const names = given.split(',').map((name) => name.trim())
  const odd = names.find((name) => /[/%*?]/.test(name) || name === '.' || name === '..')
  if (odd !== undefined)
    problems.refuse(
      path,
      `nothing can be called ${JSON.stringify(odd)}`,
      'write every name as it is',
    )
  return [...new Set(names.filter((name) => name !== ''))]
}

/** Inputs of a k8sProbe. */
export function k8sInputs(inputs: Json, at: At): K8sInputs {
  const known = [
    'group',
    'version',
    'resource',
    'namespace',
    'resourceNames',
    'fieldSelector',
    'labelSelector',
    'operation',
  ]
  unknownKeys(inputs, { ...at, known: [...known, 'data'] })
  const operation = needed(inputs, 'operation', at).toLowerCase()
  if (operation === 'create' || operation === 'delete')
    at.problems.refuse(
      `${at.path}.operation`,
      `the operation ${operation} is not built: a probe only looks`,
      'use present or absent',
    )
  else if (operation !== '')
    at.problems.oneOf(`${at.path}.operation`, operation, ['present', 'absent'] as const)
  return {
    group: textField(inputs, 'group', at),
    version: needed(inputs, 'version', at),
    resource: needed(inputs, 'resource', at),
    namespace: checkName(
      textField(inputs, 'namespace', at).trim(),
      'namespace',
      inside(at, 'namespace'),
    ),
    resourceNames: resourceNames(inputs['resourceNames'], inside(at, 'resourceNames')),
    fieldSelector: textField(inputs, 'fieldSelector', at),
    labelSelector: textField(inputs, 'labelSelector', at),
    operation: operation === 'absent' ? 'absent' : 'present',
    minimum: 1,
    ready: false,
  }
}
