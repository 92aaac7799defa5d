import type { KubeClient } from './client.ts'

/** The same client, which asks before each write whether it may still be made: `mayWrite` throws when not. Reads pass. */
export function gated(kube: KubeClient, mayWrite: () => Promise<void>): KubeClient {
  return {
    ...kube,
    create: async (path, body, call) => {
      await mayWrite()
      return await kube.create(path, body, call)
    },
    apply: async (path, body, call) => {
      await mayWrite()
      return await kube.apply(path, body, call)
    },
    mergePatch: async (path, body, call) => {
      await mayWrite()
      return await kube.mergePatch(path, body, call)
    },
    jsonPatch: async (path, ops, call) => {
      await mayWrite()
      return await kube.jsonPatch(path, ops, call)
    },
    replace: async (path, body, call) => {
      await mayWrite()
      return await kube.replace(path, body, call)
    },
    remove: async (path, call) => {
      await mayWrite()
      return await kube.remove(path, call)
    },
  }
}
