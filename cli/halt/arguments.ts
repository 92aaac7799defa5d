import { parseArgs } from 'node:util'
import type { Place } from './place.ts'

/** What `npm run halt -- …` was asked to do. */
export type HaltOptions = {
  place: Place
  /** of the release */
  namespace: string
  /** null: lift the halt */
  reason: string | null
  /** limit until everything is put back */
  timeoutMs: number
}
export type Parsed =
  | { do: 'halt'; options: HaltOptions }
  | { do: 'help' }
  | { do: 'refuse'; reason: string }

const defaultTimeoutSeconds = 120

/** The answer to --help. */
export const usage = `npm run halt -- (--context NAME | --kubeconfig FILE) [options] [REASON]

The kill switch: aborts every experiment of the cluster, refuses new ones, waits until everything is
put back, and prints what is left. It stays pulled until it is lifted.

  --context NAME       a context of your kubeconfig; the current one is never taken by itself
  --kubeconfig FILE    a kubeconfig file, with its current context
  --namespace NAME     of the release, chaosplane by default
  --lift               lift it: new experiments run again, refused ones stay refused
  --timeout SECONDS    limit for putting back, ${defaultTimeoutSeconds} by default
  --help               this text

Exit: 0 nothing is held any more (or lifted), 1 something is, 2 it could not be done, 64 a wrong call.`

const options = {
  context: { type: 'string' },
  kubeconfig: { type: 'string' },
  namespace: { type: 'string', short: 'n', default: 'chaosplane' },
  lift: { type: 'boolean', default: false },
  timeout: { type: 'string', default: String(defaultTimeoutSeconds) },
  help: { type: 'boolean', short: 'h', default: false },
} as const

/** Reads the command line. */
export function parseArguments(args: string[]): Parsed {
  try {
    const { values, positionals } = parseArgs({ args, options, allowPositionals: true })
    if (values.help) return { do: 'help' }
    const said = positionals.join(' ').trim()
    const place = placeOf(values)
    const timeoutMs = Number(values.timeout) * 1000
    if (typeof place === 'string') return { do: 'refuse', reason: place }
    if (values.namespace === '')
      return { do: 'refuse', reason: '--namespace needs the namespace of the release' }
    if (values.lift && said !== '')
      return { do: 'refuse', reason: `--lift takes no reason, got "${said}"` }
    if (!(timeoutMs >= 1000 && timeoutMs <= 86_400_000))
      return { do: 'refuse', reason: '--timeout must be 1 to 86400 seconds' }
    const reason = values.lift ? null : said
    return { do: 'halt', options: { place, namespace: values.namespace, reason, timeoutMs } }
  } catch (error) {
    // parseArgs writes a full sentence about the option that it does not know
    return { do: 'refuse', reason: error instanceof Error ? error.message : String(error) }
  }
}

/** The place, or what is wrong with it. */
function placeOf({
  context,
  kubeconfig,
}: {
  context?: string | undefined
  kubeconfig?: string | undefined
}): Place | string {
  if (context && kubeconfig) return { file: kubeconfig, context }
  if (context) return { context }
  if (kubeconfig) return { file: kubeconfig }
  return 'which cluster? Give --context NAME (`kubectl config get-contexts` lists them) or --kubeconfig FILE'
}
