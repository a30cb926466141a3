/** Values of an input: read from what was typed, or drawn at random within what the model takes. */

import { InputError } from "../javascript/errors.js";
import type { Input } from "../javascript/manifest.js";
import { Dtype, Tensor, describe, fromNumbers, isFloating, numbers, product } from "../javascript/tensor.js";

/** The ends of the whole numbers that an input takes where nothing says which. */
const ANY = [0, 9] as const;

/**
 * Numbers between spaces, commas or brackets, in row-major order.
 *
 * @throws InputError A word is no number of that kind, or they are not as many as the shape has elements.
 */
export function readValues(name: string, input: Input, shape: readonly number[], text: string, sizes: Sizes): Tensor {
  const words = text.split(/[\s,;[\]()]+/).filter(Boolean);
  const values = words.map((word) => readNumber(name, input.dtype, word));
  const [low, high] = ends(input, sizes) ?? [-Infinity, Infinity];
  const outside = values.find((value) => value < low || value > high);
  if (outside !== undefined) throw new InputError(`${name} takes ${low} to ${high}, and ${outside} was given.`);
  const count = product(shape);
  if (values.length !== count) {
    const is = describe(input.dtype, shape);
    throw new InputError(`${name} is ${is}: it takes ${count} numbers, and ${values.length} were given.`);
  }
  return fromNumbers(input.dtype, shape, values);
}

/** Values such as the model takes, other ones each time. */
export function drawValues(input: Input, shape: readonly number[], sizes: Sizes): Tensor {
  const values = Array.from({ length: product(shape) }, drawing(input, sizes));
  if (input.descending) values.sort((one, other) => other - one);
  return fromNumbers(input.dtype, shape, values);
}

/** As they are typed: a line for each row. */
export function spellValues(tensor: Tensor): string {
  const row = tensor.shape.at(-1) ?? 1;
  const words = [...numbers(tensor)].map((value) => spellNumber(value, tensor.dtype));
  return Array.from({ length: words.length / row }, (_, i) => words.slice(i * row, (i + 1) * row).join(" ")).join("\n");
}

/** Four digits of a float: enough to read, and typed again it is the same to as many. */
export function spellNumber(value: number, dtype: Dtype): string {
  return isFloating(dtype) && Number.isFinite(value) ? String(Number(value.toPrecision(4))) : String(value);
}

type Sizes = ReadonlyMap<string, number>;

function readNumber(name: string, dtype: Dtype, word: string): number {
  const lower = word.toLowerCase();
  const value = lower === "nan" ? NaN : lower === "true" ? 1 : lower === "false" ? 0 : Number(word);
  if (Number.isNaN(value) && lower !== "nan") throw new InputError(`${name}: '${word}' is not a number.`);
  const isWhole = Number.isSafeInteger(value) && (dtype !== "bool" || value === 0 || value === 1);
  if (isFloating(dtype) || isWhole) return value;
  throw new InputError(`${name} takes ${dtype === "bool" ? "0 and 1" : "whole numbers"}, and '${word}' was given.`);
}

/** The least and the greatest whole number; null for floats. */
function ends({ dtype, range }: Input, sizes: Sizes): readonly [number, number] | null {
  if (!range || isFloating(dtype)) return null;
  const [low = 0, high = 0] = range.map((end) => (typeof end === "string" ? (sizes.get(end) ?? NaN) : end));
  return [low, high];
}

function drawing(input: Input, sizes: Sizes): () => number {
  const { dtype, floats } = input;
  if (!isFloating(dtype)) {
    const [low, high] = dtype === "bool" ? [0, 1] : (ends(input, sizes) ?? ANY);
    return () => low + Math.floor(Math.random() * (high - low + 1));
  }
  if (floats?.one_of.length) return () => floats.one_of[Math.floor(Math.random() * floats.one_of.length)]!;
  const low = floats?.low ?? (floats?.high != null ? floats.high - 1 : null);
  // Never the ends themselves, which may be left out.
  if (low !== null) return () => low + ((floats?.high ?? low + 1) - low) * (0.001 + 0.998 * Math.random());
  return () => 2 * Math.random() - 1;
}
