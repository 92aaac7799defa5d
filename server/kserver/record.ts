import type { StoredRun } from '../store/runs.ts'

/** A run in the shape that agents read: every field of the published record, in its order. */
export function runRecord(run: StoredRun): Record<string, unknown> {
  const { scope, tally } = run
  return {
    notifyID: run.notifyId,
    resiliencyScore: tally.score,
    faultsPassed: tally.passed,
    faultsFailed: tally.failed,
    faultsAwaited: tally.awaited,
    faultsStopped: tally.stopped,
    faultsNA: tally.na,
    totalFaults: tally.total,
    accountID: scope.accountIdentifier,
    orgID: scope.organizationIdentifier,
    projectID: scope.projectIdentifier,
    experimentType: 'experiment_v2',
    infraID: scope.environmentIdentifier
      ? `${scope.environmentIdentifier}/${run.infra}`
      : run.infra,
    experimentRunID: run.runId,
    experimentID: run.experimentId,
    experimentName: run.name,
    phase: run.phase,
    executionData: JSON.parse(run.executionData),
    revisionID: '',
    errorResponse: '',
    networkMapID: '',
    experimentYaml: null,
    targetedServices: null,
    securityGovernance: null,
    faultsWithProbes: null,
    createdBy: '',
    updatedBy: run.updatedBy,
    updatedAt: run.updatedAt,
    createdAt: run.createdAt,
    isRemoved: false,
    runSequence: run.sequence,
    completed: run.completed,
  }
}
