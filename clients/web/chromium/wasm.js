#!/usr/bin/env node
// The page on WebAssembly, as a client; the program is in client.js.
import { main } from "./client.js";

process.exitCode = await main("wasm", process.argv.slice(2));
