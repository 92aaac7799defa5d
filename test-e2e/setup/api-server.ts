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
    /** etcd and kube-apiserver, one for each worker, by the paths of kubeconfig and audit log; use a namespace per test */
    apiServers: { kubeconfig: string; auditLog: string }[]
  }
}

const run = promisify(execFile)
const crds = join(import.meta.dirname, '../../crds')
const planes: ControlPlane[] = []

/** For each worker one etcd and kube-apiserver for the whole run, with our CRDs. */
export async function setup(project: TestProject): Promise<void> {
  const workers = Array.from({ length: project.config.maxWorkers })
  await Promise.all(
    workers.map(async () => {
      const plane = await startControlPlane()
      planes.push(plane)
      await applyCrds(plane.kubeconfig)
    }),
  )
  project.provide(
    'apiServers',
    planes.map(({ kubeconfig, auditLog }) => ({ kubeconfig, auditLog })),
  )
}

/** Ends them. */
export async function teardown(): Promise<void> {
  await Promise.all(planes.map((plane) => plane.down()))
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
