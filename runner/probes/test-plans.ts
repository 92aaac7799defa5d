import { systemClock } from '../../lib/clock.ts'
import type {
  CommandInputs,
  HttpInputs,
  K8sInputs,
  ProbePlan,
  RunProperties,
} from '../../model/probe.ts'
import type { ProbeIo } from './probe-io.ts'

const run: RunProperties = {
  timeoutMs: 5000,
  intervalMs: 10,
  attempts: 1,
  pollingMs: 100,
  initialDelayMs: 0,
  stopOnFailure: false,
  verbosity: 'info',
}

type Given = Partial<RunProperties> & { mode?: ProbePlan['mode'] }
const common = (name: string, { mode = 'SOT', ...given }: Given) => ({
  name,
  mode,
  run: { ...run, ...given },
})

/** An http probe for tests: what is not given is harmless. */
export const httpPlan = (inputs: Partial<HttpInputs> = {}, given: Given = {}) => ({
  ...common('an-http-probe', given),
  type: 'httpProbe' as const,
  inputs: {
    url: 'http://127.0.0.1:1/',
    method: 'GET' as const,
    headers: {},
    contentType: '',
    body: '',
    insecureSkipVerify: false,
    tls: { ca: '', cert: '', key: '', serverName: '' },
    files: {},
    auth: null,
    responseCode: null,
    responseBody: null,
    ...inputs,
  },
})

/** A cmd probe for tests. */
export const commandPlan = (inputs: Partial<CommandInputs> = {}, given: Given = {}) => ({
  ...common('a-cmd-probe', given),
  type: 'cmdProbe' as const,
  inputs: {
    command: 'echo ok',
    comparator: { type: 'string' as const, criteria: 'equal', value: 'ok' },
    env: [],
    source: null,
    ...inputs,
  },
})

/** A k8s probe for tests. */
export const k8sPlan = (inputs: Partial<K8sInputs> = {}, given: Given = {}) => ({
  ...common('a-k8s-probe', given),
  type: 'k8sProbe' as const,
  inputs: {
    group: '',
    version: 'v1',
    resource: 'pods',
    namespace: 'default',
    resourceNames: [],
    fieldSelector: '',
    labelSelector: '',
    operation: 'present' as const,
    minimum: 1,
    ready: false,
    ...inputs,
  },
})

const unexpected = (what: string) => (): never => {
  throw new Error(`this test did not expect ${what}`)
}

/** A world in which only what the test gives exists. */
export const probeIo = (given: Partial<ProbeIo>): ProbeIo => ({
  http: unexpected('an HTTP request'),
  kube: { get: unexpected('a read'), find: unexpected('a read') },
  as: undefined,
  commands: {
    warm: unexpected('a pod'),
    prepare: unexpected('a pod'),
    run: unexpected('a command'),
    close: unexpected('an end'),
  },
  clock: systemClock,
  ...given,
})
