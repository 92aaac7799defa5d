import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createKubeClient, type KubeClient } from '../../lib/kube/client.ts'
import { loadKubeConfig } from '../../lib/kube/config.ts'
import {
  configMaps,
  namespaces,
  resourcePath,
  secrets,
  serviceAccounts,
} from '../../lib/kube/paths.ts'
import { apiServer } from '../../test-e2e/setup/worker.ts'
import { reduce } from '../engine/reduce.ts'
import { planOf, runState, taskPlan, taskState } from '../engine/testing.ts'
import { registryName, resolveProbes } from './resolve.ts'

const namespace = 'resolve-tests'
const call = { signal: AbortSignal.timeout(120_000) }
const rbac = { group: 'rbac.authorization.k8s.io', version: 'v1' }
let kube: KubeClient

const http = (more: string) => `
type: httpProbe
httpProbe/inputs:
  url: https://web.demo.svc/
  method: { get: { criteria: "==", responseCode: "200" } }
${more}
`
const registry = {
  ping: http('runProperties: { probeTimeout: 5, colour: red }'),
  login: http('  auth: { type: Basic, credentialsFile: login/basic }'),
  trust: http('  tlsConfig: { caFile: login/ca.crt }'),
  absent: http('  tlsConfig: { caFile: nothing/ca.crt }'),
  hidden: http('  tlsConfig: { caFile: hidden/ca.crt }'),
}

const resolved = (refs: string[], account = 'reader') => {
  const tasks = refs.map((ref) => taskPlan(ref, { probes: [{ ref, mode: 'SOT' as const }] }))
  const plan = { ...planOf(tasks), namespace }
  return resolveProbes(kube, { plan, account: { namespace, name: account }, ...call })
}
const trouble = async (ref: string, account?: string) =>
  (await resolved([ref], account)).troubles.get(ref)

beforeAll(async () => {
  const config = loadKubeConfig({ file: apiServer().kubeconfig, env: {} })
  kube = createKubeClient({ config, userAgent: 'tests/1' })
  const make = (of: { group: string; version: string; plural: string }, body: object) =>
    kube.create(resourcePath({ ...of, namespace }), body, call)
  await kube.create(resourcePath(namespaces), { metadata: { name: namespace } }, call)
  await make(configMaps, { metadata: { name: registryName }, data: registry })
  const stringData = { basic: 'me:secret\n' }
  for (const name of ['login', 'hidden']) await make(secrets, { metadata: { name }, stringData })
  await make(serviceAccounts, { metadata: { name: 'reader' } })
  const resourceNames = ['login', 'nothing']
  const rules = [{ apiGroups: [''], resources: ['secrets'], verbs: ['get'], resourceNames }]
  await make({ ...rbac, plural: 'roles' }, { metadata: { name: 'reader' }, rules })
  const binding = {
    metadata: { name: 'reader' },
    roleRef: { apiGroup: rbac.group, kind: 'Role', name: 'reader' },
    subjects: ['reader', 'nobody'].map((name) => ({ kind: 'ServiceAccount', name, namespace })),
  }
  await make({ ...rbac, plural: 'rolebindings' }, binding)
})
afterAll(() => kube?.close())

it('what an entry of the registry says in vain is told among the notes of the run, once', async () => {
  const { notes, troubles } = await resolved(['ping'])
  expect(troubles.size).toBe(0)
  expect(notes).toEqual([
    'probe ping of ConfigMap chaosplane-probes: runProperties.colour is not read.',
    'probe ping of ConfigMap chaosplane-probes: runProperties.probeTimeout: 5 is read as 5 seconds.',
  ])
  const fact = { fact: 'resolved', probes: {}, notes, notifyId: '', at: 1 } as const
  const before = runState([taskState('ping')], { notes: ['spec.values is not used.'] })
  const once = reduce(before, fact)
  expect(once.notes).toEqual(['spec.values is not used.', ...notes])
  expect(reduce(once, fact)).toEqual(once)
})

describe('files of probes', () => {
  it('come out of Secrets of the namespace, with the rights of the account', async () => {
    const { plans, states, troubles } = await resolved(['login'])
    expect(troubles.size).toBe(0)
    expect(plans.get('login')?.[0]).toMatchObject({
      inputs: { auth: { credentials: 'me:secret' } },
    })
    expect(JSON.stringify(states)).not.toContain('secret')
  })

  it('that are missing are an error that names them', async () => {
    expect(await trouble('trust')).toEqual({
      code: 'HTTP_PROBE_ERROR',
      reason: `probe trust needs the key ca.crt of Secret ${namespace}/login, which has basic: correct the key, or add it`,
    })
    expect(await trouble('absent')).toEqual({
      code: 'HTTP_PROBE_ERROR',
      reason: `probe absent needs Secret ${namespace}/nothing, which does not exist: create it with the key ca.crt`,
    })
  })

  it('that may not be read are an error that names the right, or the account', async () => {
    const hidden = await trouble('hidden')
    expect(hidden?.code).toBe('MISSING_RIGHT')
    expect(hidden?.reason).toContain(`${namespace}/reader may not get secrets/hidden in namespace`)
    expect((await trouble('hidden', 'nobody'))?.code).toBe('MISSING_ACCOUNT')
  })
})
