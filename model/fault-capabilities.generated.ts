// Written by `npm run generate` from the faults; do not edit.

/** Capabilities of the fault pods of each node-level fault, by the names under which it is written. */
export const faultCapabilities: Readonly<Record<string, readonly string[]>> = {
  'pod-cpu-hog': ['SYS_ADMIN', 'SYS_PTRACE'],
  'pod-cpu-stress': ['SYS_ADMIN', 'SYS_PTRACE'],
  'pod-network-latency': ['NET_ADMIN', 'SYS_ADMIN', 'SYS_PTRACE'],
  'network-delay': ['NET_ADMIN', 'SYS_ADMIN', 'SYS_PTRACE'],
  'pod-network-loss': ['NET_ADMIN', 'SYS_ADMIN', 'SYS_PTRACE'],
  'network-loss': ['NET_ADMIN', 'SYS_ADMIN', 'SYS_PTRACE'],
  'pod-network-partition': ['NET_ADMIN', 'SYS_ADMIN', 'SYS_PTRACE'],
  'network-partition': ['NET_ADMIN', 'SYS_ADMIN', 'SYS_PTRACE'],
}
