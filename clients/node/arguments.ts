/** Options on a command line. */

import { type ParseArgsConfig, parseArgs } from "node:util";
import { InputError, firstLine } from "../javascript/errors.js";

type Options = NonNullable<ParseArgsConfig["options"]>;
type Parsed<T extends Options> = ReturnType<typeof parseArgs<{ allowPositionals: true; options: T }>>;

/**
 * What Node's own `parseArgs` finds, but that a value may begin with a dash: `--length -3` is about a length.
 *
 * @throws InputError There is no such option, or its value is missing.
 */
export function parseOptions<T extends Options>(commandLine: readonly string[], options: T): Parsed<T> {
  const args: string[] = [];
  for (let i = 0; i < commandLine.length; i++) {
    const given = commandLine[i]!;
    const takesValue = given.startsWith("--") && options[given.slice(2)]?.type === "string";
    if (takesValue && i + 1 === commandLine.length) throw new InputError(`${given} needs a value. See --help.`);
    args.push(takesValue ? `${given}=${commandLine[++i]}` : given);
  }
  try {
    return parseArgs({ args, allowPositionals: true, options });
  } catch (error) {
    throw new InputError(`${firstLine(error).split(". ")[0]}. See --help.`);
  }
}
