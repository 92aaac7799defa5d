import type { Permission } from '../../model/fault.ts'
import type { ProbeType } from '../../model/probe.ts'

/**
 * What the experiment's account needs in its own namespace for a probe. A k8s probe needs `get` and `list`
 * on what it looks at, which only its author knows.
 */
export const probePermissions: Record<ProbeType, readonly Permission[]> = {
  httpProbe: [],
  k8sProbe: [],
  cmdProbe: [
    { group: '', resource: 'pods', verbs: ['create'], why: 'the pod of a cmd probe' },
    {
      group: '',
      resource: 'pods/exec',
      verbs: ['get', 'create'],
      why: 'run the command of a cmd probe',
    },
  ],
}
