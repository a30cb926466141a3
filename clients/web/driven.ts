/** The page in the hands of a program that drives the browser, such as chromium/client.js. */

import { Bundle } from "../javascript/bundle.js";
import { runCases, timeCases } from "../javascript/cases.js";
import { InputError } from "../javascript/errors.js";
import type { Model } from "../javascript/model.js";
import { BACKENDS, openModel } from "./runtime.js";
import { onServer } from "./sources.js";

/** Milliseconds: a hundred times the step of a page's clock. */
const LEAST = 10;

/**
 * Open a model in a folder beside the page, with every node on the backend.
 *
 * @returns What it runs on.
 * @throws InputError It cannot be opened so.
 */
export async function open(folder: string, file: string, provider: string): Promise<{ model: Model; device: string }> {
  const backend = BACKENDS.find((each) => each.provider === provider)!;
  const device = await backend.device();
  const [model] = await openModel(await Bundle.read(onServer(folder), file), backend);
  if (model.strict) return { model, device };
  throw new InputError(`Some nodes of ${file} run on the CPU. Run it on WebAssembly, where all of them do.`);
}

/** @returns A safetensors file of the cases' outputs. */
export function run(model: Model, cases: Uint8Array, file: string): Promise<Uint8Array> {
  return runCases(cases, file, (inputs) => model.run(inputs));
}

/** @returns The microseconds that each case takes, by its name. */
export async function time(model: Model, cases: Uint8Array, file: string): Promise<[string, number][]> {
  const times: [string, number][] = [];
  for await (const each of timeCases(cases, file, (inputs) => model.run(inputs), LEAST)) times.push(each);
  return times;
}
