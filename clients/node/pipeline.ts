/** The command that decodes with a model of several graphs; and opening one: `await openPipeline("artifacts/asr")`. */

import { join } from "node:path";
import { byCase } from "../javascript/cases.js";
import { Bundle, MANIFEST } from "../javascript/bundle.js";
import { InputError, firstLine } from "../javascript/errors.js";
import { Decoding, PIPELINE, PipelineSpec, readPipeline } from "../javascript/pipeline.js";
import type { Session } from "../javascript/session.js";
import { parseOptions } from "./arguments.js";
import { folder, readBytes } from "./folder.js";
import { endWithOutput } from "./output.js";
import { CPU, openFile } from "./runtime.js";

const HELP = `Usage: pipeline.mjs FOLDER INPUTS.safetensors [OPTIONS]

Decodes greedily with a model of several graphs, and prints the tokens of each
case: its name, a tab, and the tokens with spaces between them. INPUTS holds
tensors named <case>/inputs/<input>, of one sequence each.

  --provider NAME  Where to run it: cpu if not given, webgpu or cuda.
  --help           Show this text.

Exit codes: 0, or 2 for bad input.
`;

const OPTIONS = { provider: { type: "string", default: CPU }, help: { type: "boolean", short: "h" } } as const;

/** A pipeline, opened. */
export class Pipeline {
  constructor(
    readonly spec: PipelineSpec,
    private readonly sessions: ReadonlyMap<string, Session>,
  ) {}

  /** A sequence at its beginning; sequences of one pipeline may be decoded in turn. */
  decoding(): Decoding {
    return new Decoding(this.spec, (graph, inputs) => this.sessions.get(graph)!.run(inputs));
  }
}

/**
 * Open the folder that `export_pipeline` wrote.
 *
 * @throws InputError It is none, a file of it was changed, or a graph does not open on the provider.
 */
export async function openPipeline(path: string, provider: string = CPU): Promise<Pipeline> {
  const spec = readPipeline(await readBytes(join(path, PIPELINE)), join(path, PIPELINE));
  const opened = new Map<string, Session>();
  const sessions = new Map<string, Session>();
  for (const [name, graph] of Object.entries(spec.graphs)) {
    const source = folder(join(path, graph.bundle));
    if ((await source.sha256(MANIFEST)) !== graph.manifest_sha256) {
      throw new InputError(`${source.name} is not the bundle that ${PIPELINE} was made for. Export the model again.`);
    }
    const bundle = await Bundle.read(source, graph.file);
    const file = join(source.name, bundle.file);
    opened.set(file, opened.get(file) ?? (await openFile(file, provider)));
    sessions.set(name, opened.get(file)!);
  }
  return new Pipeline(spec, sessions);
}

/** @returns The exit code. */
export async function main(commandLine: readonly string[]): Promise<number> {
  endWithOutput();
  try {
    await run(commandLine);
    return 0;
  } catch (error) {
    process.stderr.write(`Error: ${firstLine(error)}\n`);
    return 2;
  }
}

async function run(commandLine: readonly string[]): Promise<void> {
  const { values, positionals } = parseOptions(commandLine, OPTIONS);
  if (values.help) {
    process.stdout.write(HELP);
    return;
  }
  const [path, inputs, ...more] = positionals;
  if (path === undefined || inputs === undefined || more.length > 0) {
    throw new InputError("Give FOLDER and INPUTS. See --help.");
  }
  const pipeline = await openPipeline(path, values.provider);
  const lines: string[] = [];
  for (const [name, tensors] of byCase(await readBytes(inputs), inputs)) {
    const tokens = await pipeline.decoding().feed(tensors);
    lines.push(`${name}\t${tokens.join(" ")}\n`);
  }
  process.stdout.write(lines.join(""));
}
