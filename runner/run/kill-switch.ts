import type { Cache } from '../../lib/kube/store.ts'
import type { KubeObject } from '../../lib/kube/types.ts'
import { haltConfigMap, haltReason } from '../../model/halt.ts'

/** Whether everything is to stand still, as the product's ConfigMap says. */
export type KillSwitch = {
  /** why it is pulled, null: it is not */
  reason(): string | null
  /** hears when that may have changed; returns the way out */
  onChange(listener: () => void): () => void
}

/** The switch in a ConfigMap that is followed; one that is not there is not pulled. */
export const killSwitchIn = (cache: Cache<KubeObject>, namespace: string): KillSwitch => ({
  reason: () => haltReason(cache.get(`${namespace}/${haltConfigMap}`)?.metadata.annotations),
  onChange: (listener) => cache.onChange(() => listener()),
})
