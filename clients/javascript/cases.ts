/** The cases of a file, whose tensors are named `<case>/inputs/<input>`: run for their outputs, and timed. */

import { InputError, firstLine } from "./errors.js";
import { readTensors, writeTensors } from "./safetensors.js";
import type { Tensor } from "./tensor.js";

type Tensors = ReadonlyMap<string, Tensor>;

/** The outputs for the inputs of a case, by name. */
export type Run = (inputs: Tensors) => Promise<Tensors>;

/** Milliseconds: what each case is run for, and how much of it is for warming up. */
const [WHOLE, WARM] = [600, 100];

/**
 * Run every case, in the order of their names.
 *
 * @param file What messages call it.
 * @returns A safetensors file of `<case>/outputs/<output>`.
 * @throws InputError It holds no cases, or one cannot be run.
 */
export async function runCases(cases: Uint8Array, file: string, run: Run): Promise<Uint8Array> {
  const outputs = new Map<string, Tensor>();
  for (const [name, inputs] of byCase(cases, file)) {
    for (const [output, tensor] of await runCase(name, inputs, run)) outputs.set(`${name}/outputs/${output}`, tensor);
  }
  return writeTensors(outputs);
}

/**
 * The microseconds that each case takes, by its name: the median of as many runs as fit in half a second.
 *
 * @param least As many runs are timed as one as take so many milliseconds, which a clock of few digits can tell.
 * @throws InputError It holds no cases, or one cannot be run.
 */
export async function* timeCases(
  cases: Uint8Array,
  file: string,
  run: Run,
  least = 0,
): AsyncGenerator<[string, number]> {
  for (const [name, inputs] of byCase(cases, file)) {
    yield [name, await microseconds(() => runCase(name, inputs, run), least)];
  }
}

async function microseconds(run: () => Promise<unknown>, least: number): Promise<number> {
  const taken: number[] = [];
  const begin = performance.now();
  for (let now = begin; taken.length === 0 || now - begin < WHOLE; ) {
    let end = now;
    let runs = 0;
    do {
      await run();
      runs += 1;
      end = performance.now();
    } while (end - now < least);
    if (end - begin > WARM) taken.push(((end - now) * 1e3) / runs);
    now = end;
  }
  taken.sort((one, other) => one - other);
  return taken[taken.length >> 1]!;
}

export function byCase(bytes: Uint8Array, file: string): Map<string, Map<string, Tensor>> {
  const cases = new Map<string, Map<string, Tensor>>();
  for (const [key, tensor] of readTensors(bytes, file)) {
    const [, name, input] = /^([^/]*)\/inputs\/(.*)$/s.exec(key) ?? [];
    if (name === undefined || input === undefined) continue;
    cases.set(name, (cases.get(name) ?? new Map<string, Tensor>()).set(input, tensor));
  }
  if (cases.size === 0) throw new InputError(`${file} holds no tensor named <case>/inputs/<input>.`);
  return cases;
}

async function runCase(name: string, inputs: Tensors, run: Run): Promise<Tensors> {
  try {
    return await run(inputs);
  } catch (error) {
    throw new InputError(`Case ${name}: ${firstLine(error)}`);
  }
}
