import { describe, expect, test } from 'vitest'
import { KubeError } from '../../lib/kube/errors.ts'
import { ChaosError, troubleOf } from '../../model/errors.ts'
import { explain } from './rights.ts'

const account = { namespace: 'v2', name: 'litmus' }
const asked = { verb: 'delete', resource: 'pods', namespace: 'demo' }
const forbidden = (message: string) => new KubeError({ status: 403, reason: 'Forbidden', message })
const refusal = (user: string, what: string) =>
  forbidden(`GET /x: x is forbidden: User "system:serviceaccount:${user}" cannot ${what}`)

describe('a refusal of the API server', () => {
  test.each([
    [
      'of the account is told by its name',
      refusal('v2:litmus', 'list resource "pods" in API group "" in the namespace "demo"'),
      'service account v2/litmus may not list pods in namespace demo; bind a role that allows it (ClusterRole chaosplane-experiment has what the faults need)',
    ],
    [
      'of the product is not blamed on the account',
      refusal(
        'cp:chaosplane-runner',
        'get resource "deployments" in API group "apps" in the namespace "demo"',
      ),
      'the product itself (system:serviceaccount:cp:chaosplane-runner) may not get deployments in namespace demo; its role in the chart has this right: install the chart again (helm upgrade), and see who took it away',
    ],
    [
      'to act as the account is one of the product',
      refusal(
        'cp:chaosplane-runner',
        'impersonate resource "serviceaccounts" in API group "" in the namespace "v2"',
      ),
      'the product itself (system:serviceaccount:cp:chaosplane-runner) may not impersonate serviceaccounts in namespace v2; its role in the chart has this right: install the chart again (helm upgrade), and see who took it away',
    ],
    [
      'without a reason is told as what was asked',
      forbidden('a proxy says no'),
      'service account v2/litmus may not delete pods in namespace demo; bind a role that allows it (ClusterRole chaosplane-experiment has what the faults need)',
    ],
  ])('%s', (_, error, reason) => {
    const explained = explain(error, account, asked) as ChaosError
    expect(explained).toBeInstanceOf(ChaosError)
    expect(troubleOf(explained)).toEqual({ code: 'MISSING_RIGHT', reason })
    expect(explained.cause).toBe(error)
  })

  test('is not read into anything else', () => {
    const error = new KubeError({ status: 404, reason: 'NotFound', message: 'User "a" cannot b' })
    expect(explain(error, account, asked)).toBe(error)
  })
})
