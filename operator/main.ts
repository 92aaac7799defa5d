import { randomUUID } from 'node:crypto'
import { systemClock, systemMonotonic } from '../lib/clock.ts'
import { crashIn } from '../lib/crash.ts'
import { createKubeClient, type KubeClient } from '../lib/kube/client.ts'
import { loadKubeConfig } from '../lib/kube/config.ts'
import { createEventRecorder } from '../lib/kube/events.ts'
import { createElection } from '../lib/kube/lease.ts'
import { stayLean } from '../lib/lean.ts'
import { createLog, type Log } from '../lib/log.ts'
import { drain } from './drain.ts'
import { fieldManager } from './experiment/act.ts'
import { ExperimentOperator } from './experiments.ts'
import { serveHealth } from './health.ts'
import { createHolders, holderOf } from './holders.ts'
import { type OperatorEnvironment, settingsFrom } from './settings.ts'

/** `operator.cjs` leads or stands by; `operator.cjs drain` ends all runs and waits. */
async function main(): Promise<void> {
  const settings = settingsFrom(process.env)
  CRASH: crashIn(process.env['CHAOSPLANE_CRASH'], '')
  stayLean()
  const log = createLog({ program: 'operator', level: settings.logLevel })
  const stop = new AbortController()
  for (const name of ['SIGTERM', 'SIGINT'] as const)
    process.on(name, () => {
      // the second signal means it
      if (stop.signal.aborted) process.exit(1)
      log.info({ signal: name }, 'handing over')
      stop.abort(new Error(`the operator got ${name}`))
    })
  const config = loadKubeConfig({
    env: process.env,
    ...(settings.kubeconfig ? { file: settings.kubeconfig } : {}),
  })
  const client = createKubeClient({ config, userAgent: 'chaosplane-operator/0.1.0' })
  const program = process.argv[2]
  if (program !== undefined && program !== 'drain')
    throw new Error(`unknown argument "${program}": none, or drain`)
  try {
    if (program === 'drain') await runDrain({ client, log, settings }, stop.signal)
    else await runOperator({ client, config, log, settings }, stop.signal)
  } finally {
    await client.close()
  }
}

type Parts = { client: KubeClient; log: Log; settings: OperatorEnvironment }

async function runDrain({ client, log, settings }: Parts, signal: AbortSignal): Promise<void> {
  const { drainMs: deadlineMs, namespace, pod: self } = settings
  const clocks = { clock: systemClock, monotonic: systemMonotonic }
  const left = await drain({ client, log, ...clocks, namespace, self, deadlineMs }, signal)
  if (left.length === 0) return
  const next =
    'Check the runner (kubectl get deployments -A -l app.kubernetes.io/component=runner), then uninstall again. The kill switch stays pulled: to keep the product instead, lift it.'
  log.error({ left }, `${left.length} experiments could not be ended in time. ${next}`)
  process.exitCode = 1
}

type Config = ReturnType<typeof loadKubeConfig>

async function runOperator(parts: Parts & { config: Config }, signal: AbortSignal): Promise<void> {
  const { client, config, log, settings } = parts
  const { namespace, pod, image } = settings
  if (!image.image)
    throw new Error(
      'IMAGE is not set: recovery pods run the image of the product; the chart sets it',
    )
  const recorder = createEventRecorder({
    client,
    controller: 'chaosplane-controller',
    instance: pod,
    onError: (err, { reason, note }) =>
      log.warn({ err, reason, note }, 'an Event could not be written'),
  })
  const operator = new ExperimentOperator({
    ...{ client, config, log, namespace, recorder, fieldManager },
    clock: systemClock,
    monotonic: systemMonotonic,
    image,
    self: pod,
    workAtOnce: false,
  })
  await operator.start()
  const health = await serveHealth(settings.healthPort, {
    alive: () => true,
    ready: () => !signal.aborted && operator.ready(),
    metrics: () => operator.metrics(),
  })
  const me = holderOf(pod, randomUUID().slice(0, 8))
  const holders = createHolders({ client, namespace, me })
  const election = createElection({
    client,
    namespace,
    name: 'chaosplane-operator',
    identity: me,
    isDead: holders.isDead,
    onError: (err) => log.warn({ err }, 'the election had trouble'),
    lead: async (term) => {
      log.info({ term: term.number }, 'leading')
      await operator.work(term.signal, term.holds)
      log.info({ term: term.number }, 'no longer leading')
    },
  })
  const watching = holders.run(() => election.look(), signal)
  await election.run(signal)
  await watching
  await recorder.flush(AbortSignal.timeout(2_000))
  await operator.stop()
  health.close()
  health.closeAllConnections()
}

main().catch((err: unknown) => {
  createLog({ program: 'operator', level: 'info' }).error({ err }, 'the operator cannot go on')
  process.exit(1)
})
