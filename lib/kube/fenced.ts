import type { Call, KubeClient } from './client.ts'

/**
 * The same client, each of whose writes is sent only while `mayWrite` says so, asked directly before every attempt: a
 * program that was stopped in between wakes up to another leader, and none of its timers has run yet.
 */
export function fenced(kube: KubeClient, mayWrite: () => boolean): KubeClient {
  const only = <C extends Call>(call: C): C => ({ ...call, mayWrite })
  return {
    ...kube,
    create: (path, body, call) => kube.create(path, body, only(call)),
    apply: (path, body, call) => kube.apply(path, body, only(call)),
    mergePatch: (path, body, call) => kube.mergePatch(path, body, only(call)),
    jsonPatch: (path, ops, call) => kube.jsonPatch(path, ops, only(call)),
    replace: (path, body, call) => kube.replace(path, body, only(call)),
    remove: (path, call) => kube.remove(path, only(call)),
  }
}
