import type { Call, KubeClient } from './client.ts'

type Writes = 'create' | 'apply' | 'mergePatch' | 'jsonPatch' | 'replace' | 'remove'

/** All writes of a client, each sent with a changed call. */
export const changedWrites = (
  kube: KubeClient,
  change: <C extends Call>(call: C) => C,
): Pick<KubeClient, Writes> => ({
  create: (path, body, call) => kube.create(path, body, change(call)),
  apply: (path, body, call) => kube.apply(path, body, change(call)),
  mergePatch: (path, body, call) => kube.mergePatch(path, body, change(call)),
  jsonPatch: (path, ops, call) => kube.jsonPatch(path, ops, change(call)),
  replace: (path, body, call) => kube.replace(path, body, change(call)),
  remove: (path, call) => kube.remove(path, change(call)),
})
