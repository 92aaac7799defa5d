import { execFile } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { TestProject } from 'vitest/node'
import { binary } from '../cluster/binaries.ts'
import { type ControlPlane, startControlPlane } from '../cluster/control-plane.ts'
import { until } from '../cluster/processes.ts'

declare module 'vitest' {
  interface ProvidedContext {
    /** kubeconfig path of the shared etcd and kube-apiserver; use a namespace per test */
    apiKubeconfig: string
    /** its audit log */
    apiAuditLog: string
  }
}

const run = promisify(execFile)
const crds = join(import.meta.dirname, '../../crds')
let controlPlane: ControlPlane | undefined

/** One etcd and kube-apiserver for the whole run, with our CRDs. */
export async function setup(project: TestProject): Promise<void> {
  controlPlane = await startControlPlane()
  const { kubeconfig, auditLog } = controlPlane
  process.env['CHAOSPLANE_TEST_KUBECONFIG'] = kubeconfig
  project.provide('apiKubeconfig', kubeconfig)
  project.provide('apiAuditLog', auditLog)
  await applyCrds(kubeconfig)
}

/** Ends them. */
export async function teardown(): Promise<void> {
  await controlPlane?.down()
}

/** Applies crds/*.yaml and waits until they are served. */
export async function applyCrds(kubeconfig: string): Promise<void> {
  if (!readdirSync(crds).some((f) => f.endsWith('.yaml'))) return
  const kubectl = (...args: string[]) =>
    run(binary('kubectl'), [`--kubeconfig=${kubeconfig}`, ...args], { timeout: 60_000 })
  await kubectl('apply', '--server-side', '--force-conflicts', '-f', crds)
  // A definition that has no conditions yet is an error to `kubectl wait`: it is asked again.
  await until('the definitions are served', 60_000, async () => {
    await kubectl('wait', '--for=condition=Established', 'crd', '--all', '--timeout=30s')
    return true
  })
}
