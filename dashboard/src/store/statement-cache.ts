/** The statements of this folder are fewer, the combinations of filters are not: at this many all are prepared anew. */
const MAX_STATEMENTS = 100;

/** Statements by their text. `dispose` is called for those that leave. */
export class StatementCache<Prepared> {
  private readonly statements: Map<string, Prepared> = new Map();
  private readonly prepare: (sql: string) => Prepared;
  private readonly dispose: (statement: Prepared) => void;

  constructor(prepare: (sql: string) => Prepared, dispose: (statement: Prepared) => void) {
    this.prepare = prepare;
    this.dispose = dispose;
  }

  get(sql: string): Prepared {
    const kept = this.statements.get(sql);
    if (kept !== undefined) return kept;
    if (this.statements.size >= MAX_STATEMENTS) this.clear();
    const statement = this.prepare(sql);
    this.statements.set(sql, statement);
    return statement;
  }

  clear(): void {
    for (const statement of this.statements.values()) this.dispose(statement);
    this.statements.clear();
  }
}
