/** A signal that follows `parent` and fires by itself after `ms`; `end` frees both. */
export type Limited = { signal: AbortSignal; expired(): boolean; end(): void }

/**
 * Like AbortSignal.any([parent, AbortSignal.timeout(ms)]), but nothing stays behind on a parent
 * that lives as long as the program: thousands of calls hang on the same one.
 */
export function limit(parent: AbortSignal, ms: number, onExpiry: () => Error): Limited {
  const controller = new AbortController()
  let expired = false
  const follow = () => controller.abort(parent.reason)
  const timer = setTimeout(() => {
    expired = true
    controller.abort(onExpiry())
  }, ms)
  if (parent.aborted) follow()
  else parent.addEventListener('abort', follow, { once: true })
  return {
    signal: controller.signal,
    expired: () => expired,
    end() {
      clearTimeout(timer)
      parent.removeEventListener('abort', follow)
    },
  }
}
