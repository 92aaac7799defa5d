import type { Call, KubeClient } from './client.ts'

/**
 * The same client, whose calls are one attempt each, of `deadlineMs` at most: for who tries again by itself and must not
 * sit in a long pause when the API server comes back.
 */
export function hurried(kube: KubeClient, deadlineMs: number): KubeClient {
  const soon = <C extends Call>(call: C): C => ({ deadlineMs, once: true, ...call })
  return {
    ...kube,
    get: (path, call) => kube.get(path, soon(call)),
    find: (path, call) => kube.find(path, soon(call)),
    list: (path, call) => kube.list(path, soon(call)),
    create: (path, body, call) => kube.create(path, body, soon(call)),
    apply: (path, body, call) => kube.apply(path, body, soon(call)),
    mergePatch: (path, body, call) => kube.mergePatch(path, body, soon(call)),
    jsonPatch: (path, ops, call) => kube.jsonPatch(path, ops, soon(call)),
    replace: (path, body, call) => kube.replace(path, body, soon(call)),
    remove: (path, call) => kube.remove(path, soon(call)),
    text: (path, call) => kube.text(path, soon(call)),
  }
}
