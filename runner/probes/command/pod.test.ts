import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'
import type { CommandInputs } from '../../../model/probe.ts'
import { commandPlan } from '../test-plans.ts'
import { buildProbePod, commandWords, type ProbePodSettings, podKey, podName } from './pod.ts'
import { type ProbePod, readPod } from './running.ts'

const settings: ProbePodSettings = {
  image: 'chaosplane:1',
  imagePullPolicy: 'IfNotPresent',
  imagePullSecrets: [],
  namespace: 'shop',
  name: 'task-run',
  labels: { run: '7' },
  owner: null,
  lifeSeconds: 60,
  pods: {},
}
const source = { image: 'curl:8', command: [], args: [], imagePullPolicy: '' }
const inputs = (given: Partial<CommandInputs> = {}) => commandPlan(given).inputs
const podOf = (given: Partial<CommandInputs> = {}, with_: Partial<ProbePodSettings> = {}) => {
  const pod = buildProbePod(inputs(given), 'p', { ...settings, ...with_ })
  const { spec, metadata } = pod as { spec: Record<string, unknown>; metadata: object }
  const container = (spec['containers'] as Record<string, unknown>[])[0] ?? {}
  return { spec, metadata, container }
}

describe('the pod of an inline command', () => {
  it('has no token, no volume, no right and no root', () => {
    const { spec, container } = podOf()
    expect(spec).toMatchObject({
      automountServiceAccountToken: false,
      restartPolicy: 'Never',
      activeDeadlineSeconds: 60,
      securityContext: {
        runAsNonRoot: true,
        runAsUser: 65532,
        seccompProfile: { type: 'RuntimeDefault' },
      },
    })
    expect(spec).not.toHaveProperty('volumes')
    expect(spec).not.toHaveProperty('serviceAccountName')
    expect(container['securityContext']).toEqual({
      allowPrivilegeEscalation: false,
      capabilities: { drop: ['ALL'] },
    })
    expect(container['resources']).toHaveProperty('limits.memory')
  })

  it('runs our image, and nothing of the command until it is asked to', () => {
    const { container } = podOf({ command: 'do-harm', env: [{ name: 'A', value: 'b' }] })
    expect(container['image']).toBe('chaosplane:1')
    expect(JSON.stringify(container)).not.toMatch(/do-harm/)
  })

  it('takes what the experiment says about its pods, but not our labels from it', () => {
    const { spec, metadata, container } = podOf(
      {},
      {
        pods: {
          labels: { run: 'stolen', team: 'a' },
          tolerations: [{ operator: 'Exists' }],
          resources: { limits: { memory: '1Gi' } },
          imagePullSecrets: [{ name: 's' }],
        },
      },
    )
    expect(metadata).toMatchObject({ labels: { run: '7', team: 'a' } })
    expect(spec).toMatchObject({
      tolerations: [{ operator: 'Exists' }],
      imagePullSecrets: [{ name: 's' }],
    })
    expect(container['resources']).toEqual({ limits: { memory: '1Gi' } })
  })
})

it('only the pod of our own image has our pull secrets', () => {
  const with_ = {
    imagePullSecrets: ['ours', 's'],
    pods: { imagePullSecrets: [{ name: 's' }, { name: 't' }] },
  }
  const secretsOf = (given: Partial<CommandInputs>) => podOf(given, with_).spec['imagePullSecrets']
  expect(secretsOf({})).toEqual([{ name: 'ours' }, { name: 's' }, { name: 't' }])
  expect(secretsOf({ source })).toEqual([{ name: 's' }, { name: 't' }])
  expect(podOf().spec).not.toHaveProperty('imagePullSecrets')
})

describe('the pod of a source image', () => {
  it('may be root, but has no right either', () => {
    const { spec, container } = podOf({ source })
    expect(spec['securityContext']).toEqual({ seccompProfile: { type: 'RuntimeDefault' } })
    expect(spec['automountServiceAccountToken']).toBe(false)
    expect(container).toMatchObject({
      image: 'curl:8',
      imagePullPolicy: 'IfNotPresent',
      securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
    })
  })

  it('is kept alive by our words only when it has none', () => {
    expect(podOf({ source }).container['command']).toContain('/bin/sh')
    const own = podOf({ source: { ...source, command: ['serve'], args: ['-v'] } }).container
    expect(own).toMatchObject({ command: ['serve'], args: ['-v'] })
    const args = podOf({ source: { ...source, args: ['-v'] } }).container
    expect(args).toMatchObject({ args: ['-v'] })
    expect(args).not.toHaveProperty('command')
  })
})

it('probes share a pod when they run in the same image in the same way', () => {
  const other = { ...source, image: 'other' }
  const keys = [{}, { command: 'x' }, { source }, { source: { ...source } }, { source: other }].map(
    (given) => podKey(inputs(given)),
  )
  expect(new Set(keys).size).toBe(3)
  expect(keys[0]).toBe(keys[1])
  expect(keys[2]).toBe(keys[3])
})

it('a name is a DNS label however the task is called, and tells long names apart', () => {
  const long = 'long-task-'.repeat(9)
  const names = [`${long}a`, `${long}b`, 'Ein_Task.', '---'].map((base) => podName(base, 'k', 3))
  for (const name of names) {
    expect(name).toMatch(/^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/)
    expect(name.length).toBeLessThanOrEqual(63)
    expect(name).toMatch(/-probe-[0-9a-f]{8}-3$/)
  }
  expect(new Set(names).size).toBe(names.length)
})

describe('the words of a command', () => {
  const run = async (given: Partial<CommandInputs>, timeoutMs = 5000) => {
    const [program = '', ...args] = commandWords(inputs(given), timeoutMs)
    return await promisify(execFile)(program, args, { env: { PATH: process.env['PATH'] } })
  }

  it('run it in a shell with its variables as they are', async () => {
    const env = [
      { name: 'A', value: `it's $HOME; "x"` },
      { name: 'EMPTY', value: '' },
    ]
    const command = 'printf "%s|%s|%s" "$A" "$EMPTY" "$0"'
    expect((await run({ command, env })).stdout).toBe(`it's $HOME; "x"||/bin/sh`)
  })

  it('keep its exit status', async () => {
    await expect(run({ command: 'exit 3' })).rejects.toMatchObject({ code: 3 })
  })

  it('end it and all that it began a second after its time', async () => {
    const command = 'sleep 4321 & sleep 4321'
    const ended = await run({ command }, 0).catch((thrown: { signal?: string }) => thrown)
    expect(ended).toMatchObject({ signal: 'SIGKILL' })
    const { stdout } = await promisify(execFile)('ps', ['-eo', 'args'])
    expect(stdout.split('\n').filter((line) => line === 'sleep 4321')).toEqual([])
  })
})

describe('a probe pod', () => {
  const pod = (status: ProbePod['status'], deletionTimestamp?: string): ProbePod => ({
    metadata: {
      name: 'p',
      uid: 'u',
      resourceVersion: '1',
      ...(deletionTimestamp ? { deletionTimestamp } : {}),
    },
    ...(status ? { status } : {}),
  })
  const waiting = (reason: string, message: string) =>
    pod({ phase: 'Pending', containerStatuses: [{ state: { waiting: { reason, message } } }] })
  const rows: [string, ProbePod, string, RegExp?][] = [
    ['just created', pod(undefined), 'waiting'],
    ['running', pod({ containerStatuses: [{ state: { running: {} } }] }), 'running'],
    ['being deleted', pod({ containerStatuses: [{ state: { running: {} } }] }, 'now'), 'hopeless'],
    ['evicted', pod({ phase: 'Failed', message: 'low on memory' }), 'hopeless', /low on memory/],
    ['pulling again', waiting('ErrImagePull', 'no such tag'), 'waiting', /no such tag/],
    ['without its image', waiting('ErrImageNeverPull', 'absent'), 'hopeless', /absent/],
    [
      'without a node',
      pod({
        phase: 'Pending',
        conditions: [{ type: 'PodScheduled', status: 'False', message: '0/1 nodes' }],
      }),
      'waiting',
      /0\/1 nodes/,
    ],
  ]
  it.each(rows)('that is %s', (_, read, state, why = /./) => {
    const reading = readPod(read)
    expect(reading.state).toBe(state)
    if (reading.state !== 'running') expect(reading.why).toMatch(why)
  })
})
