import { expect, it } from 'vitest'
import { BadTunable } from '../../../model/fault.ts'
import { podNetworkLatency as fault } from './index.ts'

it.each([
  ['', 2000],
  ['2s', 2000],
  ['2000', 2000],
  ['150ms', 150],
  ['1m', 60_000],
  ['1.5s', 1500],
])('NETWORK_LATENCY %s is %i ms', (value, latencyMs) => {
  expect(fault.fromLitmus({ NETWORK_LATENCY: value }, '')).toMatchObject({ latencyMs })
})

it.each([
  ['NETWORK_LATENCY', '0'],
  ['NETWORK_LATENCY', '-5ms'],
  ['NETWORK_LATENCY', '2h'],
  ['NETWORK_LATENCY', 'slow'],
  ['JITTER', '5 apples'],
  ['CORRELATION', '101'],
])('refuses %s %s', (name, value) => {
  expect(() => fault.fromLitmus({ [name]: value }, '')).toThrow(BadTunable)
})

it('jitter and correlation are read in both dialects', () => {
  const asked = { latencyMs: 300, jitterMs: 50, correlationPercent: 25 }
  const litmus = { NETWORK_LATENCY: '300', JITTER: '50ms', CORRELATION: '25%' }
  const chaosplane = { latency: '300ms', jitter: '50', correlation: '25' }
  expect(fault.fromLitmus(litmus, '')).toMatchObject(asked)
  expect(fault.fromChaosplane(chaosplane, '')).toMatchObject(asked)
})
