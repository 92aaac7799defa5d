/** How many targets may be hit at the same time; null: any number. */
export type Caps = {
  perExperiment: number | null
  /** of all that the selection could have chosen; one target is always allowed */
  percent: number | null
  perCluster: number | null
  /** of all pods that run in the cluster, or of all its nodes; one target is always allowed */
  percentOfCluster: number | null
}

/** What counts beside the targets that are about to be chosen. */
export type Standing = {
  /** targets of the same experiment that are not done with */
  ofExperiment: number
  /** those of all others */
  ofOthers: number
  /** all that the selection could choose; null: it names its targets, and the percentage does not apply */
  candidates: number | null
  /** those of them that the same task holds already */
  held: number
  /** pods that run in the cluster, or its nodes, and those of them that all experiments hold; null: nothing is counted */
  cluster: { size: number; held: number; of: 'pods' | 'nodes' } | null
}

type Limit = { room: number; why: string }

const perCluster = (caps: Caps, { ofExperiment, ofOthers }: Standing): Limit[] => {
  const { perCluster: cap } = caps
  if (cap === null) return []
  const held = ofExperiment + ofOthers
  const why = `protection.maxTargets.perCluster of the chart is ${cap}, and ${held} are taken`
  return [{ room: cap - held, why }]
}

const percentOfCluster = ({ percentOfCluster: cap }: Caps, { cluster }: Standing): Limit[] => {
  if (cap === null || cap >= 100 || cluster === null) return []
  const { size, held, of } = cluster
  const why = `protection.maxTargets.percentOfCluster of the chart is ${cap}, of ${size} ${of} in the cluster${held > 0 ? `, and ${held} are taken` : ''}`
  return [{ room: Math.max(1, Math.floor((size * cap) / 100)) - held, why }]
}

/** How many more may be hit, by the tightest cap. */
export function tightest(caps: Caps, standing: Standing): Limit {
  const { perExperiment, percent } = caps
  const { ofExperiment, candidates, held } = standing
  const limits = [...perCluster(caps, standing), ...percentOfCluster(caps, standing)]
  if (perExperiment !== null)
    limits.push({
      room: perExperiment - ofExperiment,
      why: `protection.maxTargets.perExperiment of the chart is ${perExperiment}${ofExperiment > 0 ? `, and ${ofExperiment} are taken` : ''}`,
    })
  if (percent !== null && percent < 100 && candidates !== null)
    limits.push({
      room: Math.max(1, Math.floor((candidates * percent) / 100)) - held,
      why: `protection.maxTargets.percent of the chart is ${percent}, of ${candidates} that could be chosen`,
    })
  return limits.reduce((least, limit) => (limit.room < least.room ? limit : least), {
    room: Number.POSITIVE_INFINITY,
    why: '',
  })
}

/** The caps that are set, and where so many targets would stand. */
export function capLines(count: number, caps: Caps, standing: Standing): string[] {
  const { ofExperiment, ofOthers, candidates, cluster } = standing
  const { perExperiment, percent, perCluster: ofAll, percentOfCluster: ofCluster } = caps
  const place = 'protection.maxTargets'
  const line = (name: string, cap: number | null, taken: string): string[] =>
    cap === null ? [] : [`${place}.${name} is ${cap}: ${taken}`]
  const share =
    candidates === null ? 'does not count for targets that are named' : `${count} of ${candidates}`
  return [
    ...line(
      'perExperiment',
      perExperiment,
      `${ofExperiment + count} would be hit at the same time`,
    ),
    ...line('percent', percent === 100 ? null : percent, share),
    ...line(
      'perCluster',
      ofAll,
      `${ofExperiment + ofOthers + count} would be hit at the same time`,
    ),
    ...line(
      'percentOfCluster',
      ofCluster === 100 ? null : ofCluster,
      cluster === null
        ? 'does not count for workloads'
        : `${cluster.held + count} of ${cluster.size} ${cluster.of}`,
    ),
  ]
}

/** Why so many targets are too many, with the limit and what would be right; null: they are not. */
export function whyTooMany(count: number, caps: Caps, standing: Standing): string | null {
  const { room, why } = tightest(caps, standing)
  if (count <= room) return null
  const right =
    room >= 1
      ? `choose at most ${room} (PODS_AFFECTED_PERC, or fewer names)`
      : 'wait until others have ended'
  return `${count} target${count === 1 ? '' : 's'} would be hit; ${why}: ${right}, or have the cap raised`
}
