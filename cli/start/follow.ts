import type { Clock } from '../../lib/clock.ts'
import type { KubeClient } from '../../lib/kube/client.ts'
import { kubernetesChaosExperiments, resourcePath } from '../../lib/kube/paths.ts'
import { createReflector } from '../../lib/kube/reflector.ts'
import type { Screen } from './terminal.ts'
import { changes } from './view/changes.ts'
import { type Seen, type View, viewOf } from './view/model.ts'
import { render } from './view/render.ts'
import { type Compile, type Experiment, isOver, seenOf } from './view/seen.ts'

/** One experiment to be followed until its end. */
export type Follow = {
  client: KubeClient
  namespace: string
  name: string
  compile: Compile
  screen: Screen
  clock: Clock
  /** said once before the view: commands to be pasted must not be cut to the width */
  hints: string[]
  signal: AbortSignal
  timeoutMs: number
}

const redrawMs = 250

/** Shows the run live and returns its last state; throws when the experiment vanishes or the time is over. */
export async function followRun(of: Follow): Promise<Seen> {
  const { client, namespace, name, clock, screen } = of
  const reflector = createReflector<Experiment>({
    client,
    path: resourcePath({ ...kubernetesChaosExperiments, namespace }),
    query: { fieldSelector: `metadata.name=${name}` },
  })
  const ended = new AbortController()
  const signal = AbortSignal.any([of.signal, ended.signal])
  const watching = reflector.run(signal)
  const wake = wakers(reflector.store.onChange)
  const until = clock.now() + of.timeoutMs
  let shown: View | null = null
  let trouble = ''
  try {
    for (const hint of of.hints) screen.print([[hint, 'dim']])
    await reflector.store.synced(signal)
    for (;;) {
      const object = reflector.store.get(`${namespace}/${name}`)
      if (!object) throw new Error(`${namespace}/${name} was deleted by somebody else`)
      const seen = seenOf(object, of.compile)
      const view = viewOf(seen, clock.now())
      trouble = tellTrouble(screen, reflector.trouble(), trouble)
      show(of, shown, view)
      shown = view
      if (isOver(seen)) return seen
      if (clock.now() > until) throw new Error(tooLong(of, view))
      await Promise.race([wake(), clock.sleep(redrawMs, signal)])
    }
  } finally {
    screen.settle()
    ended.abort()
    await watching
  }
}

/** Resolves at the next change. */
function wakers(onChange: (listener: () => void) => () => void): () => Promise<void> {
  let waiting = Promise.withResolvers<void>()
  onChange(() => {
    waiting.resolve()
    waiting = Promise.withResolvers<void>()
  })
  return () => waiting.promise
}

function show({ screen }: Follow, before: View | null, view: View): void {
  if (screen.isTerminal) screen.show([[['', 'plain']], ...render(view, screen.columns())])
  else for (const line of changes(before, view)) screen.print([[line, 'plain']])
}

function tellTrouble(screen: Screen, trouble: unknown, said: string): string {
  const text = trouble instanceof Error ? trouble.message : ''
  if (text && text !== said) screen.print([[`! ${text}; trying again`, 'busy']])
  return text
}

function tooLong({ timeoutMs, namespace, name }: Follow, view: View): string {
  const where = view.tasks.find((t) => t.stage !== 'done')
  const at = where ? `task ${where.name} is at "${where.stage}"` : `its phase is ${view.phase}`
  return `the experiment has not ended after ${timeoutMs / 1000} s (--timeout): ${at}. Look with: kubectl -n ${namespace} describe kuberneteschaosexperiment ${name}; kubectl -n chaosplane-system logs deploy/chaosplane-runner`
}
