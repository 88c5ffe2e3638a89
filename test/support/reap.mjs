// Outlives the test process by a moment: when the pipe on stdin closes, however the parent died, it ends what the parent
// had started and removes its scratch folders. Lines on stdin: "+pid 12", "-pid 12", "+folder /x", "-folder /x".
import { rmSync } from "node:fs";
import { createInterface } from "node:readline";

const pids = new Set();
const folders = new Set();
for await (const line of createInterface({ input: process.stdin })) {
  const space = line.indexOf(" ");
  const value = line.slice(space + 1);
  const kept = line.startsWith("pid", 1) ? pids : folders;
  if (line.startsWith("+")) kept.add(value);
  else kept.delete(value);
}

const signal = (name) => {
  for (const pid of pids) {
    try {
      process.kill(process.platform === "win32" ? Number(pid) : -Number(pid), name);
    } catch {
      pids.delete(pid);
    }
  }
};
signal("SIGTERM");
for (let waited = 0; waited < 1000 && pids.size > 0; waited += 50) {
  await new Promise((resolve) => setTimeout(resolve, 50));
  signal(0);
}
signal("SIGKILL");
for (const folder of folders) rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
