/** Metadata as the API server sends it; only what the product reads. */
export type ObjectMeta = {
  name: string
  namespace?: string
  uid: string
  resourceVersion: string
  generation?: number
  creationTimestamp?: string
  deletionTimestamp?: string
  deletionGracePeriodSeconds?: number
  labels?: Record<string, string>
  annotations?: Record<string, string>
  finalizers?: string[]
  ownerReferences?: OwnerReference[]
  managedFields?: unknown[]
}

/** A link from an object to the one that owns it. */
export type OwnerReference = {
  apiVersion: string
  kind: string
  name: string
  uid: string
  controller?: boolean
  blockOwnerDeletion?: boolean
}

/** Any object of the API, as raw JSON: fields that we do not know survive. */
export type KubeObject = {
  apiVersion?: string
  kind?: string
  metadata: ObjectMeta
}

/** One line of a watch. */
export type WatchEvent<T extends KubeObject = KubeObject> = {
  type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK'
  object: T
}

/** The body with which the API server explains itself. */
export type StatusBody = {
  kind: 'Status'
  status?: string
  message?: string
  reason?: string
  code?: number
  details?: StatusDetails
}

/** The machine-readable part of a Status. */
export type StatusDetails = {
  name?: string
  kind?: string
  group?: string
  uid?: string
  retryAfterSeconds?: number
  causes?: { reason?: string; message?: string; field?: string }[]
}

/** `<namespace>/<name>`, or `<name>` for what has no namespace. */
export function keyOf(object: { metadata: { name: string; namespace?: string } }): string {
  const { name, namespace } = object.metadata
  return namespace ? `${namespace}/${name}` : name
}

/** The parts of a key made by `keyOf`. */
export function parseKey(key: string): { name: string; namespace?: string } {
  const slash = key.indexOf('/')
  if (slash < 0) return { name: key }
  return { namespace: key.slice(0, slash), name: key.slice(slash + 1) }
}

/** RFC 3339 with six digits: what Lease and Event times must look like. */
export function microTime(unixMs: number): string {
  return `${new Date(unixMs).toISOString().slice(0, -1)}000Z`
}
