import { expect, it } from 'vitest'
import { createMasker, MASK } from './mask.ts'

const secret = 'hunter2-of-production'

it.each([
  ['as it is', `login with ${secret}.`, `login with ${MASK}.`],
  ['in base64', `data: ${Buffer.from(secret).toString('base64')}`, `data: ${MASK}`],
  ['in a URL', `GET /?q=${encodeURIComponent('a b&c/d')}`, `GET /?q=${MASK}`],
  ['more than once', `${secret}${secret}`, `${MASK}${MASK}`],
])('a known secret is masked %s', (_name, text, masked) => {
  expect(createMasker([secret, 'a b&c/d'])(text)).toBe(masked)
})

it('every line of a secret of several lines is masked', () => {
  const mask = createMasker(['-----BEGIN KEY-----\nMIIEvQIBADAN\n-----END KEY-----'])
  expect(mask('got MIIEvQIBADAN')).toBe(`got ${MASK}`)
})

it('the longer of two secrets that begin alike is masked whole', () => {
  expect(createMasker(['abcdef', 'abcdef-and-more'])('x abcdef-and-more y')).toBe(`x ${MASK} y`)
})

it.each([
  ['password=topsecret rest', `password=${MASK} rest`],
  ['DB_PASSWORD: "top secret", user: bob', `DB_PASSWORD: "${MASK}", user: bob`],
  [String.raw`{"password": "a\"b"}`, `{"password": "${MASK}"}`],
  ['pwd=hunter2; Cookie: session=abc', `pwd=${MASK}; Cookie: ${MASK}`],
  ['got eyJhbGciOiJI.eyJzdWIiOiIx.c2lnbmF0 back', `got ${MASK} back`],
  ['ghp_0123456789abcdefghijKLMN', MASK],
  ['{"token":"abc","name":"n"}', `{"token":"${MASK}","name":"n"}`],
  [String.raw`"{\"apiKey\":\"abc\",\"n\":1}"`, String.raw`"{\"apiKey\":\"${MASK}\",\"n\":1}"`],
  ['Authorization: Bearer eyJhbGciOi.x.y next', `Authorization: Bearer ${MASK} next`],
  ['curl -H "authorization: Basic dXNlcjpwdw=="', `curl -H "authorization: Basic ${MASK}"`],
  ['X-Access-Key: v1yln9st88k6', `X-Access-Key: ${MASK}`],
  ['X-Harness-Token=abc;x', `X-Harness-Token=${MASK};x`],
  ['postgres://app:s3cr3t@db:5432/x', `postgres://app:${MASK}@db:5432/x`],
  ['run --token abcdef --force', `run --token ${MASK} --force`],
])('%s', (text, masked) => {
  expect(createMasker([])(text)).toBe(masked)
})

it.each([
  '[Start]: pod-delete FAULT START',
  'probe google-ping: http://demo/ answered 200',
  'the key of the log is r1-pod-delete',
  'waits for a token to be given back',
  'abc',
])('leaves alone: %s', (text) => {
  expect(createMasker(['', ' ', 'abc'])(text)).toBe(text)
})
