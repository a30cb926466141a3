/** The command: runs a model on cases, or checks a bundle with the cases in it. */

import { rename, rm, writeFile } from "node:fs/promises";
import { existsSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { MANIFEST } from "../javascript/bundle.js";
import { Run, runCases, timeCases } from "../javascript/cases.js";
import type { CaseResult } from "../javascript/checking.js";
import { InputError, firstLine } from "../javascript/errors.js";
import { Manifest, readManifest } from "../javascript/manifest.js";
import type { Session } from "../javascript/session.js";
import { runWhole } from "../javascript/stream.js";
import { parseOptions } from "./arguments.js";
import { readBytes } from "./folder.js";
import { openBundle } from "./index.js";
import { endWithOutput } from "./output.js";
import { CPU, RUNTIME, openFile } from "./runtime.js";

const VERSION = "0.1.0";
const HELP = `Usage: client.mjs MODEL CASES.safetensors OUT.safetensors [OPTIONS]
       client.mjs MODEL [OPTIONS]
       client.mjs --time MODEL CASES.safetensors [OPTIONS]
       client.mjs --check BUNDLE [OPTIONS]

Runs an exported model in ONNX Runtime for Node.

  MODEL CASES OUT     Run the model on every case, and write the outputs.
  MODEL               Do so for each line CASES<tab>OUT on stdin, and answer
                      with an empty line or with what is wrong.
  --time MODEL CASES  Print the microseconds that each case takes.
  --check BUNDLE      Replay the bundle's own cases, and compare them with
                      what PyTorch computed.

  --provider NAME     Where to run it: cpu if not given, webgpu or cuda.
  --chunk K           Feed K steps at a time, and carry the states. The model
                      must have been exported with --stateful.
  --version           Show the versions of this program and of ONNX Runtime.
  --help              Show this text.

Exit codes: 0 right, 1 a case fails, 2 bad input.
`;

/** @returns The exit code. */
export async function main(commandLine: readonly string[]): Promise<number> {
  endWithOutput();
  try {
    return await run(parse(commandLine));
  } catch (error) {
    process.stderr.write(`Error: ${firstLine(error)}\n`);
    return 2;
  }
}

const OPTIONS = {
  check: { type: "string" },
  provider: { type: "string", default: CPU },
  chunk: { type: "string" },
  time: { type: "boolean" },
  version: { type: "boolean" },
  help: { type: "boolean", short: "h" },
} as const;

type Arguments = ReturnType<typeof parse>;

function parse(args: readonly string[]) {
  const { values, positionals } = parseOptions(args, OPTIONS);
  if (values.chunk !== undefined && !/^[1-9]\d{0,8}$/.test(values.chunk)) {
    throw new InputError(`--chunk is ${values.chunk}. Give a whole number, 1 or more.`);
  }
  return { ...values, chunk: values.chunk === undefined ? null : Number(values.chunk), positionals };
}

async function run({ check, time, provider, chunk, version, help, positionals }: Arguments): Promise<number> {
  if (help) process.stdout.write(HELP);
  else if (version) process.stdout.write(`rnn-export-node ${VERSION}, ${RUNTIME}, takes .onnx\n`);
  else if (!time && check !== undefined && positionals.length === 0) return checkBundle(check, provider, chunk);
  else if (time && check === undefined && positionals.length === 2) {
    await printTimes(await openModel(positionals[0] as string, provider), positionals[1] as string, chunk);
  } else if (!time && check === undefined && positionals.length === 3) {
    const [path, cases, out] = positionals as [string, string, string];
    await writeOutputs(await openModel(path, provider), cases, out, chunk);
  } else if (!time && check === undefined && positionals.length === 1) {
    await serve(await openModel(positionals[0] as string, provider), chunk);
  } else throw new InputError("Give MODEL CASES OUT, or --check BUNDLE. See --help.");
  return 0;
}

async function checkBundle(path: string, provider: string, chunk: number | null): Promise<number> {
  const model = await openBundle(path, provider);
  const width = Math.max(...model.bundle.manifest.cases.map(({ name }) => name.length));
  let failed = 0;
  let count = 0;
  for await (const result of model.check(chunk)) {
    process.stdout.write(`${row(result, width)}\n`);
    count += 1;
    failed += Number(result.verdict === "FAIL");
  }
  const where = provider === CPU ? "" : model.strict ? ", every node there" : ", some nodes on the CPU";
  const verdict = failed ? `FAIL  ${failed} of ${count} cases failed` : `PASS  ${count} cases`;
  process.stdout.write(`${verdict} in ${RUNTIME} on ${provider}${where}\n`);
  return failed ? 1 : 0;
}

function row({ name, error, limit, verdict, reason }: CaseResult, width: number): string {
  const [shown, most] = [error, limit].map((value) => value.toExponential(2).padEnd(9));
  return `${name.padEnd(width)}  ${shown} ${most} ${verdict}${reason && `  ${reason}`}`;
}

/** A model file, loaded, and what the manifest beside it says. */
interface Model {
  readonly file: string;
  readonly session: Session;
  readonly manifest: Manifest | null;
}

async function openModel(path: string, provider: string): Promise<Model> {
  const manifest = await manifestBeside(path);
  return { file: basename(path), session: await openFile(path, provider), manifest };
}

/** Answers each line `CASES<tab>OUT` with an empty line, or with what is wrong. */
async function serve(model: Model, chunk: number | null): Promise<void> {
  process.stdout.write("ready\n");
  for await (const line of createInterface({ input: process.stdin })) {
    const [cases, out] = line.split("\t");
    let answer = "";
    try {
      if (cases === undefined || out === undefined) throw new InputError("Give CASES, a tab, and OUT.");
      await writeOutputs(model, cases, out, chunk);
    } catch (error) {
      answer = firstLine(error);
    }
    process.stdout.write(`${answer}\n`);
  }
}

async function printTimes(model: Model, casesPath: string, chunk: number | null): Promise<void> {
  for await (const [name, time] of timeCases(await readBytes(casesPath), casesPath, runner(model, chunk))) {
    process.stdout.write(`${name} ${time.toFixed(1)}\n`);
  }
}

async function writeOutputs(model: Model, casesPath: string, out: string, chunk: number | null): Promise<void> {
  await writeWhole(out, await runCases(await readBytes(casesPath), casesPath, runner(model, chunk)));
}

function runner({ session, manifest, file }: Model, chunk: number | null): Run {
  const stream = manifest?.artifacts.get(file)?.stream ?? null;
  return (inputs) => runWhole(session, manifest, stream, inputs, chunk);
}

/** Of a model with states a manifest says how they are carried; a model without a manifest has none. */
async function manifestBeside(path: string): Promise<Manifest | null> {
  const beside = join(dirname(path), MANIFEST);
  return existsSync(beside) ? readManifest(await readBytes(beside), beside) : null;
}

/** Written beside its place and renamed, so that there is all of it or nothing. */
async function writeWhole(path: string, bytes: Uint8Array): Promise<void> {
  const partial = `${path}.${process.pid}.partial`;
  try {
    await writeFile(partial, bytes);
    await rename(partial, path);
  } catch (error) {
    await rm(partial, { force: true });
    throw new InputError(`${path} cannot be written (${firstLine(error)}).`);
  }
}
