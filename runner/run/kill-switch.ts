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

/**
 * The switch in a ConfigMap that is followed; one that is not there is not pulled. One that goes while it is pulled stays
 * pulled: on uninstall the ConfigMap may be gone before the runner is.
 */
export function killSwitchIn(cache: Cache<KubeObject>, namespace: string): KillSwitch {
  const key = `${namespace}/${haltConfigMap}`
  let last = haltReason(cache.get(key)?.metadata.annotations)
  cache.onChange(({ object }) => {
    if (object.metadata.name === haltConfigMap && object.metadata.namespace === namespace)
      last = haltReason(object.metadata.annotations)
  })
  return {
    reason: () => {
      const map = cache.get(key)
      return map ? haltReason(map.metadata.annotations) : last
    },
    onChange: (listener) => cache.onChange(() => listener()),
  }
}
