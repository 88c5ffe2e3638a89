import type { Driver, DriverName } from "./driver.ts";
import { openNodeSqlite } from "./node-sqlite-driver.ts";
import { openWasm } from "./wasm-driver.ts";

/** Opens `path`, or a database in memory without one, for this process alone. `node:sqlite` where this Node has it (22.13 and
 *  later), else WebAssembly. */
export function openDriver(path: string | undefined, name?: DriverName): Driver {
  const driver = (name === "node-sqlite3-wasm" ? undefined : openNodeSqlite(path)) ?? openWasm(path);
  if (name !== undefined && driver.name !== name) {
    driver.close();
    throw new Error(`Node ${process.version} has no ${name}`);
  }
  // No other process gets in; and without memory shared between processes WebAssembly can have a write-ahead log, too. It needs
  // one: its rollback journal is not rolled back after kill -9, because its own lock makes SQLite believe that it is in use.
  driver.exec("PRAGMA locking_mode = EXCLUSIVE");
  return driver;
}
