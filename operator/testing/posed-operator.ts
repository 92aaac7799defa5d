import { systemClock, systemMonotonic } from '../../lib/clock.ts'
import { crashIn } from '../../lib/crash.ts'
import { createKubeClient } from '../../lib/kube/client.ts'
import { loadKubeConfig } from '../../lib/kube/config.ts'
import { createEventRecorder } from '../../lib/kube/events.ts'
import { silentLog } from '../../lib/log.ts'
import { ExperimentOperator } from '../experiments.ts'

/** Longer than any silence that the operator waits for, milliseconds. */
const stoodByMs = 90_000

/**
 * The operator as a process of its own that ends itself where it is told to. It has stood by for long when it begins
 * to work, as the second replica has: whoever was silent all the time has been silent for long.
 */
async function main(): Promise<void> {
  const { KUBECONFIG: file = '', POD_NAMESPACE: namespace = '', CHAOSPLANE_CRASH } = process.env
  CRASH: crashIn(CHAOSPLANE_CRASH, '')
  const config = loadKubeConfig({ file, env: {} })
  const client = createKubeClient({ config, userAgent: 'posed-operator/1' })
  let stoodBy = 0
  const instance = `operator-${process.pid}`
  const operator = new ExperimentOperator({
    ...{ client, config, namespace, log: silentLog(), fieldManager: 'chaosplane-operator' },
    recorder: createEventRecorder({ client, controller: 'chaosplane-controller', instance }),
    clock: systemClock,
    monotonic: () => systemMonotonic() + stoodBy,
    image: {
      image: 'chaosplane:test',
      imagePullPolicy: 'Never',
      imagePullSecrets: [],
      priorityClassName: null,
    },
    self: instance,
    workAtOnce: false,
  })
  const stop = new AbortController()
  process.once('SIGTERM', () => stop.abort(new Error('the test is over')))
  await operator.start()
  while (!operator.ready()) await systemClock.sleep(10, stop.signal)
  stoodBy = stoodByMs
  await operator.work(stop.signal)
  await operator.stop()
  await client.close()
}

main().catch((error: unknown) => {
  process.stderr.write(`posed operator: ${error instanceof Error ? error.stack : error}\n`)
  process.exit(1)
})
