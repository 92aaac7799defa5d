/** A context of the user's kubeconfig, or a file with its current one; the current context is never taken by itself. */
export type Place = { context: string; file?: string } | { file: string }
