import type { DatabaseSync, SQLOutputValue } from 'node:sqlite'
import type { Scope } from '../../model/wire/kserver.ts'
import { type Migrations, openDatabase, transaction } from './database.ts'

const migrations: Migrations = [
  `CREATE TABLE runs (
     run_id TEXT PRIMARY KEY,
     experiment_id TEXT NOT NULL,
     infra TEXT NOT NULL,
     account TEXT NOT NULL, org TEXT NOT NULL, project TEXT NOT NULL, environment TEXT NOT NULL,
     name TEXT NOT NULL,
     notify_id TEXT NOT NULL,
     updated_by TEXT NOT NULL,
     sequence INTEGER NOT NULL,
     phase TEXT NOT NULL,
     completed INTEGER NOT NULL,
     score REAL NOT NULL,
     passed INTEGER NOT NULL, failed INTEGER NOT NULL, awaited INTEGER NOT NULL,
     stopped INTEGER NOT NULL, na INTEGER NOT NULL, total INTEGER NOT NULL,
     execution_data TEXT NOT NULL,
     created_at INTEGER NOT NULL,
     updated_at INTEGER NOT NULL
   ) STRICT;
   CREATE INDEX runs_newest ON runs (created_at DESC, run_id);
   CREATE INDEX runs_of_experiment ON runs (experiment_id, sequence)`,
]

/** Counts of a finished run. */
export type Tally = {
  score: number
  passed: number
  failed: number
  awaited: number
  stopped: number
  na: number
  total: number
}

/** One run as it is kept. `executionData` is the agent's own text. */
export type StoredRun = {
  runId: string
  experimentId: string
  infra: string
  scope: Scope
  name: string
  notifyId: string
  updatedBy: string
  /** first, second … run of its experiment */
  sequence: number
  phase: string
  completed: boolean
  tally: Tally
  executionData: string
  createdAt: number
  updatedAt: number
}

export type RunStore = {
  get(runId: string): StoredRun | undefined
  /** Reads, decides and writes in one transaction; `change` returns undefined to leave things as they are. */
  update(
    runId: string,
    change: (known: StoredRun | undefined) => Omit<StoredRun, 'sequence'> | undefined,
  ): void
  /** Newest first. */
  page(window: { limit: number; offset: number }): { total: number; runs: StoredRun[] }
  /** Removes the oldest completed runs beyond `keep`. */
  prune(keep: number): number
  /** Throws when the database cannot be read. */
  check(): void
  close(): void
}

type Row = Record<string, SQLOutputValue>

const fromRow = (row: Row): StoredRun => ({
  runId: String(row.run_id),
  experimentId: String(row.experiment_id),
  infra: String(row.infra),
  scope: {
    environmentIdentifier: String(row.environment),
    accountIdentifier: String(row.account),
    organizationIdentifier: String(row.org),
    projectIdentifier: String(row.project),
  },
  name: String(row.name),
  notifyId: String(row.notify_id),
  updatedBy: String(row.updated_by),
  sequence: Number(row.sequence),
  phase: String(row.phase),
  completed: row.completed === 1,
  tally: {
    score: Number(row.score),
    passed: Number(row.passed),
    failed: Number(row.failed),
    awaited: Number(row.awaited),
    stopped: Number(row.stopped),
    na: Number(row.na),
    total: Number(row.total),
  },
  executionData: String(row.execution_data),
  createdAt: Number(row.created_at),
  updatedAt: Number(row.updated_at),
})

function statements(db: DatabaseSync) {
  return {
    get: db.prepare('SELECT * FROM runs WHERE run_id = ?'),
    put: db.prepare(
      `INSERT OR REPLACE INTO runs VALUES (:runId, :experimentId, :infra, :account, :org, :project,
       :environment, :name, :notifyId, :updatedBy, :sequence, :phase, :completed, :score, :passed,
       :failed, :awaited, :stopped, :na, :total, :executionData, :createdAt, :updatedAt)`,
    ),
    last: db.prepare('SELECT MAX(sequence) AS last FROM runs WHERE experiment_id = ?'),
    page: db.prepare('SELECT * FROM runs ORDER BY created_at DESC, run_id LIMIT ? OFFSET ?'),
    count: db.prepare('SELECT COUNT(*) AS total FROM runs'),
    prune: db.prepare(
      `DELETE FROM runs WHERE run_id IN (SELECT run_id FROM runs WHERE completed = 1
       ORDER BY created_at DESC, run_id LIMIT -1 OFFSET ?)`,
    ),
  }
}

function parameters({ scope, tally, ...run }: StoredRun) {
  return {
    ...run,
    ...tally,
    completed: run.completed ? 1 : 0,
    account: scope.accountIdentifier,
    org: scope.organizationIdentifier,
    project: scope.projectIdentifier,
    environment: scope.environmentIdentifier,
  }
}

/** Runs in one SQLite file. */
export function openRunStore(file: string): RunStore {
  const db = openDatabase(file, { migrations, durability: 'full' })
  const sql = statements(db)
  const get = (runId: string): StoredRun | undefined => {
    const row = sql.get.get(runId)
    return row && fromRow(row)
  }
  return {
    get,
    update(runId, change) {
      transaction(db, () => {
        const known = get(runId)
        const next = change(known)
        if (!next) return
        const last = Number(sql.last.get(next.experimentId)?.last ?? 0)
        sql.put.run(parameters({ ...next, sequence: known?.sequence ?? last + 1 }))
      })
    },
    page: ({ limit, offset }) => ({
      total: Number(sql.count.get()?.total ?? 0),
      runs: sql.page.all(limit, offset).map(fromRow),
    }),
    prune: (keep) => Number(sql.prune.run(keep).changes),
    check: () => void sql.count.get(),
    close: () => db.close(),
  }
}
