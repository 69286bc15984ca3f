// Makes ../dashboards/*.json: `node build.mjs`. With --check it writes nothing, and fails when a file differs from its
// output. The JSON is committed: Grafana is given files, not a program.

import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

import { farm } from "./boards/farm.mjs";
import { stream } from "./boards/stream.mjs";
import { viewers } from "./boards/viewers.mjs";
import { worker } from "./boards/worker.mjs";

const check = process.argv.includes("--check");
for (const [name, board] of Object.entries({ farm, worker, stream, viewers })) {
  const path = fileURLToPath(new URL(`../dashboards/${name}.json`, import.meta.url));
  const made = `${JSON.stringify(board, null, 2)}\n`;
  if (!check) {
    writeFileSync(path, made);
  } else if (readFileSync(path, "utf8") !== made) {
    console.error(`${path} is not what build.mjs makes: run \`node monitoring/grafana/build/build.mjs\` and commit it`);
    process.exitCode = 1;
  }
}
