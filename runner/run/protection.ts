import type { Cache } from '../../lib/kube/store.ts'
import type { KubeObject } from '../../lib/kube/types.ts'
import { isProtected, type NamespaceRules } from '../../model/protection.ts'
import type { TargetState } from '../../model/state.ts'
import type { Pod } from '../hands/pod-cache.ts'
import type { ProtectionSettings } from '../protection-settings.ts'
import type { ClusterSize } from './cluster-size.ts'
import type { Ledger } from './ledger.ts'

/** What nothing may be done to, and how much at once. */
export type Protection = Pick<ProtectionSettings, 'caps' | 'minHealthy'> & {
  namespaces: NamespaceRules
  hostsProduct(node: string): boolean
  /** open targets of all experiments but the one with this uid */
  othersThan(uid: string): TargetState[]
  clusterSize: ClusterSize
}

type Parts = {
  settings: ProtectionSettings
  /** of the product */
  namespace: string
  /** namespaces with the label, whatever it says but `false` */
  labelled: Cache<KubeObject>
  /** pods of runners and operators */
  programs: Cache<Pod>
  ledger: Ledger
  clusterSize: ClusterSize
}

export const protectionIn = (parts: Parts): Protection => {
  const { allowed, denied, caps, minHealthy } = parts.settings
  const { namespace: own, labelled, programs, ledger, clusterSize } = parts
  return {
    caps,
    minHealthy,
    namespaces: {
      own,
      allowed,
      denied,
      isLabelled: (name) => isProtected(labelled.get(name)?.metadata.labels),
    },
    hostsProduct: (node) => programs.list().some((pod) => pod.spec?.nodeName === node),
    othersThan: (uid) => ledger.othersThan(uid),
    clusterSize,
  }
}
