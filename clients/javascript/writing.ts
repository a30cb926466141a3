/** Writing text with a model of characters, one at a time; its states are carried from each to the next. */

import { InputError } from "./errors.js";
import type { Model } from "./model.js";
import { outputNamed } from "./stream.js";
import { type Tensor, fromNumbers, numbers } from "./tensor.js";
import { Vocabulary, encode } from "./vocabulary.js";

/**
 * The characters after a prompt, without end.
 *
 * @param temperature What logits are divided by before one is drawn; at 0 the likeliest character is taken.
 * @param random Draws a number from 0 to below 1.
 * @throws InputError The prompt is empty or has an unknown character; or the model is no stream, or takes or
 *   gives something else.
 */
export async function* write(
  model: Model,
  vocabulary: Vocabulary,
  prompt: string,
  temperature: number,
  random: () => number = Math.random,
): AsyncGenerator<string> {
  const { manifest, artifact, source } = model.bundle;
  const input = manifest.inputs.get(vocabulary.input);
  if (!input || !artifact.stream || !manifest.outputs.has(vocabulary.output)) {
    const names = `'${vocabulary.input}' to '${vocabulary.output}'`;
    throw new InputError(`${source.name} is no stream from ${names}. Export it with --stateful.`);
  }
  if (!prompt) throw new InputError("The prompt is empty. Give at least one character.");
  const { time } = artifact.stream;
  const others = input.shape.filter((dim) => typeof dim === "string" && dim !== time);
  const stream = model.stream(Object.fromEntries(others.map((dim) => [dim, 1])));
  for (let tokens = encode(vocabulary, prompt); ; ) {
    const shape = input.shape.map((dim) => (dim === time ? tokens.length : 1));
    const fed = new Map([[vocabulary.input, fromNumbers(input.dtype, shape, tokens)]]);
    const logits = lastRow(await stream.run(fed), vocabulary);
    const token = choose(logits, temperature, random);
    yield vocabulary.characters[token]!;
    tokens = [token];
  }
}

/** What follows the last token. */
function lastRow(outputs: ReadonlyMap<string, Tensor>, { characters, output }: Vocabulary): Float64Array {
  const logits = outputNamed(output, outputs);
  const count = logits.shape.at(-1) ?? 1;
  if (count !== characters.length) {
    const counts = `${count} logits for ${characters.length} characters`;
    throw new InputError(`The model gives ${counts}. Write vocabulary.json again.`);
  }
  const row = numbers(logits).subarray(-count);
  if (row.every(Number.isFinite)) return row;
  throw new InputError("The model gives a logit that is NaN or infinite, so no character can be chosen.");
}

/** The likeliest token at temperature 0, else one drawn from softmax(logits / temperature). */
export function choose(logits: Float64Array, temperature: number, random: () => number): number {
  const largest = logits.reduce((one, other) => Math.max(one, other), -Infinity);
  if (temperature === 0) return logits.indexOf(largest);
  const shares = logits.map((logit) => Math.exp((logit - largest) / temperature));
  let left = random() * shares.reduce((sum, share) => sum + share, 0);
  // Rounding may leave a little at the end, which is the last token's.
  const drawn = shares.findIndex((share) => (left -= share) < 0);
  return drawn < 0 ? shares.length - 1 : drawn;
}
