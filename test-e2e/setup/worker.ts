import { inject } from 'vitest'

/** Of what was made for each worker, that of this one: files that run side by side share none. */
export function ofThisWorker<T>(all: T[]): T {
  const place = all.length === 1 ? 1 : Number(process.env['VITEST_POOL_ID'])
  const found = all[place - 1]
  if (found === undefined) throw new Error(`worker ${place} has none of ${all.length}`)
  return found
}

/** The API server that integration tests of this worker share: kubeconfig and audit log. */
export const apiServer = () => ofThisWorker(inject('apiServers'))
