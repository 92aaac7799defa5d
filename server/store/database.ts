import { DatabaseSync } from 'node:sqlite'

/** Steps of a schema, in order; a step is never changed once it was released, only followed. */
export type Migrations = readonly string[]

/**
 * `full`: an acknowledged write survives a power cut (verdicts cannot be sent again once acknowledged).
 * `normal`: it survives the death of the process, a power cut may take the last seconds (bulky logs).
 */
export type Durability = 'full' | 'normal'

/** Opens a database file in WAL mode and brings its schema up to date, each step in one transaction. */
export function openDatabase(
  file: string,
  options: { migrations: Migrations; durability: Durability },
): DatabaseSync {
  const db = new DatabaseSync(file, { timeout: 5000 })
  db.exec('PRAGMA journal_mode = WAL')
  db.exec(`PRAGMA synchronous = ${options.durability.toUpperCase()}`)
  db.exec(
    'PRAGMA foreign_keys = ON; PRAGMA cache_size = -4096; PRAGMA journal_size_limit = 16777216',
  )
  const row = db.prepare('PRAGMA user_version').get() as { user_version: number }
  if (row.user_version > options.migrations.length)
    throw new Error(
      `${file} was written by a newer version (schema ${row.user_version}, known up to ${options.migrations.length}): start that version, or point DATA_DIR to an empty folder`,
    )
  for (const [index, step] of options.migrations.entries()) {
    if (index < row.user_version) continue
    transaction(db, () => db.exec(`${step}; PRAGMA user_version = ${index + 1}`))
  }
  return db
}

/** All or nothing. */
export function transaction<T>(db: DatabaseSync, work: () => T): T {
  db.exec('BEGIN IMMEDIATE')
  try {
    const result = work()
    db.exec('COMMIT')
    return result
  } catch (thrown) {
    if (db.isTransaction) db.exec('ROLLBACK')
    throw thrown
  }
}
