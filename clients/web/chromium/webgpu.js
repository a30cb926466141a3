#!/usr/bin/env node
// The page on WebGPU, as a client; the program is in client.js.
import { main } from "./client.js";

process.exitCode = await main("webgpu", process.argv.slice(2));
