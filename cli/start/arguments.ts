import { parseArgs } from 'node:util'

/** What `npm start -- …` was asked to do. */
export type StartOptions = {
  /** a context of the user's kubeconfig; null: a throw-away cluster */
  context: string | null
  /** reference that the cluster of `context` can pull; null: built here */
  image: string | null
  provider: 'kind' | 'local' | null
  /** clean up and exit by verdict as soon as the run has ended */
  once: boolean
  /** leave everything as it is at the end */
  keep: boolean
  /** limit for the experiment, from apply to verdict */
  timeoutMs: number
}
export type Parsed =
  | { do: 'start'; options: StartOptions }
  | { do: 'help' }
  | { do: 'refuse'; reason: string }

const defaultTimeoutSeconds = 600

/** The answer to --help. */
export const usage = `npm start -- [options]

Runs the example experiment on a Kubernetes cluster and shows it live.

  --context NAME       use this context of your kubeconfig, needs --image;
                       without it a throw-away cluster is made on this machine
  --image REF          an image of chaosplane that the cluster of --context can pull
  --provider NAME      how the throw-away cluster is made: local (root, no docker) or kind
  --once               clean up at the end and exit by verdict:
                       0 Pass, 1 Fail, 2 anything else, 130 interrupted
  --keep               leave everything as it is at the end
  --timeout SECONDS    limit for the experiment, ${defaultTimeoutSeconds} by default
  --help               this text

Ctrl-C at any moment removes what was made; a second Ctrl-C stops at once and lists what is left.`

const options = {
  context: { type: 'string' },
  image: { type: 'string' },
  provider: { type: 'string' },
  once: { type: 'boolean', default: false },
  keep: { type: 'boolean', default: false },
  timeout: { type: 'string', default: String(defaultTimeoutSeconds) },
  help: { type: 'boolean', short: 'h', default: false },
} as const

/** Reads the command line. */
export function parseArguments(args: string[]): Parsed {
  try {
    const { values } = parseArgs({ args, options, allowPositionals: false })
    if (values.help) return { do: 'help' }
    const { context = null, image = null, once, keep } = values
    const provider = values.provider ?? null
    const timeoutMs = Number(values.timeout) * 1000
    const reason = refusal({ context, image, provider, once, keep, timeoutMs })
    if (reason) return { do: 'refuse', reason }
    const known = provider === 'kind' || provider === 'local' ? provider : null
    return { do: 'start', options: { context, image, provider: known, once, keep, timeoutMs } }
  } catch (error) {
    // parseArgs writes a full sentence about the option that it does not know
    return { do: 'refuse', reason: error instanceof Error ? error.message : String(error) }
  }
}

type Raw = Omit<StartOptions, 'provider'> & { provider: string | null }

function refusal(given: Raw): string | null {
  const { context, image, provider, timeoutMs } = given
  if (provider !== null && provider !== 'kind' && provider !== 'local')
    return `--provider must be local or kind, got "${provider}"`
  if (context === '')
    return '--context needs the name of a context; `kubectl config get-contexts` lists them'
  if (context !== null && provider !== null)
    return '--provider makes a throw-away cluster and --context uses your own: give one of them'
  if (context !== null && image === null)
    return '--context needs --image REF, an image that this cluster can pull: build config/image/Dockerfile, push it, and give its name'
  if (context === null && image !== null)
    return '--image is for --context only: a throw-away cluster gets the image that is built here'
  if (given.once && given.keep) return '--once cleans up and --keep does not: give one of them'
  if (!(timeoutMs >= 1000 && timeoutMs <= 86_400_000)) return '--timeout must be 1 to 86400 seconds'
  return null
}
