import { applyAll, createNamespace, type Hands } from './apply.ts'
import type { StartOptions } from './arguments.ts'
import { demoDocuments, demoNamespace, experimentNamespace, namespaceDocument } from './demo.ts'
import {
  applyExperiment,
  compileExperiment,
  experimentFile,
  experimentName,
  firstLoadSums,
  lookAfter,
} from './experiment.ts'
import { followRun } from './follow.ts'
import { installChart, productNamespace } from './install.ts'
import { exitCodeOf, outcomeLines, resultLines } from './outcome.ts'
import { openSite, type Site } from './place.ts'
import { madeDemo, madeExperiment, madeProduct } from './remove.ts'
import { untilAvailable } from './rollout.ts'
import type { Seen } from './view/model.ts'
import type { World } from './world.ts'

const rolloutMs = 180_000
/** An experiment that is deleted puts back what it did within five seconds; then the whole cluster goes anyway. */
const shortEndMs = 15_000
const longEndMs = 120_000

/** Sets everything up, runs the experiment, says what came of it. What it makes is in `world.cleanup`. */
export async function runDemo(options: StartOptions, world: World): Promise<0 | 1 | 2> {
  const site = await openSite(options, world)
  const hands = { client: site.access.client, clock: world.clock, signal: world.stop }
  await install(site, hands, world)
  await deployDemo(site, hands, world)
  const loadBefore = await firstLoadSums(hands)
  await start(site, world)
  const seen = await follow(options, site, world)
  const found = await lookAfter(hands, loadBefore)
  for (const line of outcomeLines(seen, found)) world.screen.print(line)
  if (!options.once)
    for (const line of resultLines(seen, site.access.kubectlText)) world.screen.print(line)
  return exitCodeOf(seen, found)
}

async function follow(options: StartOptions, site: Site, world: World): Promise<Seen> {
  try {
    return await followRun({
      client: site.access.client,
      namespace: experimentNamespace,
      name: experimentName,
      compile: compileExperiment,
      screen: world.screen,
      clock: world.clock,
      hints: hintsOf(site),
      signal: world.stop,
      timeoutMs: options.timeoutMs,
    })
  } catch (error) {
    if (!world.stop.aborted) await printLogs(site, world)
    throw error
  }
}

/** What the programs said last: with --once they are gone before anybody could ask them. */
async function printLogs({ access }: Site, { screen, stop }: World): Promise<void> {
  for (const program of ['chaosplane-operator', 'chaosplane-runner']) {
    const args = ['-n', productNamespace, 'logs', `deploy/${program}`, '--tail=15']
    const text = await access.kubectl(args, { signal: stop, timeoutMs: 20_000 }).catch(String)
    screen.print([[`The last lines of ${program}`, 'strong']])
    for (const line of text.trimEnd().split('\n')) screen.print([[`  ${line}`, 'dim']])
  }
}

async function install(site: Site, hands: Hands, world: World): Promise<void> {
  const { access, image, isThrowAway } = site
  await world.progress.step('chart', async (say) => {
    const labels = { 'pod-security.kubernetes.io/enforce': 'privileged' }
    if (!isThrowAway) world.cleanup.add(madeProduct({ access, clock: world.clock }))
    const isNew = await createNamespace(namespaceDocument(productNamespace, labels), hands)
    if (!isNew) throw new Error(`namespace ${productNamespace} was made by somebody else just now`)
    await installChart(access, image, world.stop)
    const where = { namespace: productNamespace, names: null, deadlineMs: rolloutMs }
    await untilAvailable({ ...hands, ...where, say })
  })
}

async function deployDemo(site: Site, hands: Hands, world: World): Promise<void> {
  const { access, image, isThrowAway } = site
  await world.progress.step('demo application with its load', async (say) => {
    if (!isThrowAway) world.cleanup.add(madeDemo({ access, clock: world.clock }))
    await applyAll(demoDocuments({ image, pullPolicy: 'IfNotPresent' }), hands)
    const where = { namespace: demoNamespace, names: null, deadlineMs: rolloutMs }
    await untilAvailable({ ...hands, ...where, say })
  })
}

async function start({ access, isThrowAway }: Site, world: World): Promise<void> {
  await world.progress.step(`kubectl apply -f ${experimentFile}`, async () => {
    const by = { access, clock: world.clock }
    world.cleanup.add(madeExperiment(by, isThrowAway ? shortEndMs : longEndMs))
    await applyExperiment(access, world.stop)
  })
}

const hintsOf = ({ access }: Site): string[] => [
  'Ctrl-C ends the experiment and removes everything. To end only the experiment:',
  `  ${access.kubectlText} -n ${experimentNamespace} annotate kuberneteschaosexperiment ${experimentName} chaos.chaosplane.io/abort=true`,
]
