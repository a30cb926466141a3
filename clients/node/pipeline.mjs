#!/usr/bin/env node
// Decodes on the command line; the program is in pipeline.ts.
import { existsSync } from "node:fs";

const program = new URL("dist/node/pipeline.js", import.meta.url);
if (!existsSync(program)) {
  console.error("Error: the Node client is not built. Build it with: make client-node");
  process.exit(2);
}
const { main } = await import(program);
process.exitCode = await main(process.argv.slice(2));
