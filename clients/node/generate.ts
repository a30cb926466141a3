/** The command that writes text with a model of characters. */

import { InputError, firstLine } from "../javascript/errors.js";
import { write } from "../javascript/writing.js";
import { parseOptions } from "./arguments.js";
import { openBundle } from "./index.js";
import { endWithOutput } from "./output.js";

const HELP = `Usage: generate.mjs BUNDLE --prompt TEXT [OPTIONS]

Writes text with an exported model of characters, one character at a time.

  --prompt TEXT      What the text begins with.
  --temperature X    0 takes the likeliest character; the larger, the more
                     surprising. 0.5 if not given.
  --length K         How many characters to write: 200 if not given.
  --help             Show this text.

How many characters were written per second is said on stderr.
Exit codes: 0, or 2 for bad input.
`;

const OPTIONS = {
  prompt: { type: "string" },
  temperature: { type: "string", default: "0.5" },
  length: { type: "string", default: "200" },
  help: { type: "boolean", short: "h" },
} as const;

/** @returns The exit code. */
export async function main(commandLine: readonly string[]): Promise<number> {
  endWithOutput();
  try {
    await run(parse(commandLine));
    return 0;
  } catch (error) {
    process.stderr.write(`Error: ${firstLine(error)}\n`);
    return 2;
  }
}

type Arguments = ReturnType<typeof parse>;

function parse(args: readonly string[]) {
  const { values, positionals } = parseOptions(args, OPTIONS);
  const temperature = /^[\d.eE+-]+$/.test(values.temperature) ? Number(values.temperature) : NaN;
  if (!Number.isFinite(temperature) || temperature < 0) {
    throw new InputError(`--temperature is ${values.temperature}. Give a number, 0 or more.`);
  }
  const length = /^\d{1,9}$/.test(values.length) ? Number(values.length) : 0;
  if (length < 1) {
    throw new InputError(`--length is ${values.length}. Give a whole number from 1 to 999999999.`);
  }
  return { ...values, temperature, length, positionals };
}

async function run({ prompt, temperature, length, help, positionals: [path, ...more] }: Arguments): Promise<void> {
  if (help) {
    process.stdout.write(HELP);
    return;
  }
  if (path === undefined || more.length > 0 || prompt === undefined) {
    throw new InputError("Give BUNDLE and --prompt TEXT. See --help.");
  }
  const model = await openBundle(path);
  const characters = write(model, await model.bundle.readVocabulary(), prompt, temperature);
  const first = await characters.next();
  process.stdout.write(prompt + first.value);
  const began = performance.now();
  for (let written = 1; written < length; written++) process.stdout.write((await characters.next()).value);
  const seconds = (performance.now() - began) / 1000;
  const rate = length > 1 ? `, ${((length - 1) / seconds).toFixed(0)} a second` : "";
  process.stdout.write("\n");
  process.stderr.write(`${length} characters${rate}\n`);
}
