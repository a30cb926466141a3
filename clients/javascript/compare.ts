/**
 * Judging one output against PyTorch: as right as PyTorch is, non-finite values in place, same shape and dtype.
 *
 * The limit is that of docs/parity.md.
 */

import type { Typical } from "./manifest.js";
import { Tensor, describe, isFloating, numbers } from "./tensor.js";

const FACTOR = 4;
const FLOOR = { float16: 4, float32: 4, float64: 1024 };
const EPS = { float16: 2 ** -10, float32: 2 ** -23, float64: 2 ** -52 };
const TINY = { float16: 2 ** -14, float32: 2 ** -126, float64: 2 ** -1022 };
/** Relative to the largest value, where there is no float64 reference. */
const TOLERANCE = { float16: 1e-2, float32: 1e-4, float64: 1e-8 };

type Floating = keyof typeof EPS;

/** What an output should be: PyTorch's own, in float64 if there is that, and what the limit is made of. */
export interface Expected {
  readonly eager: Tensor;
  readonly exact: Tensor | null;
  readonly own: number;
  readonly typical: Typical;
  readonly bound: number;
}

/** The largest error, its limit, and what is wrong; `reason` is empty for an output that passes. */
export interface OutputResult {
  readonly output: string;
  readonly error: number;
  readonly limit: number;
  readonly reason: string;
}

/** The error in units of the limit; infinite where there is an error and nothing is allowed. */
export function share(result: OutputResult): number {
  return result.limit === 0 ? (result.error === 0 ? 0 : Infinity) : result.error / result.limit;
}

/** @param got What the runtime gave; undefined if it gave no such output. */
export function judge(output: string, got: Tensor | undefined, expected: Expected): OutputResult {
  const { eager } = expected;
  if (!got) return { output, error: Infinity, limit: 0, reason: "is not among the model's outputs" };
  if (got.dtype !== eager.dtype || got.shape.join() !== eager.shape.join()) {
    const reason = `is ${describe(got.dtype, got.shape)} instead of ${describe(eager.dtype, eager.shape)}`;
    return { output, error: Infinity, limit: 0, reason };
  }
  return isFloating(eager.dtype) ? judgeValues(output, got, expected) : judgeExactly(output, got, eager);
}

function judgeValues(output: string, tensor: Tensor, expected: Expected): OutputResult {
  const got = numbers(tensor);
  const eager = numbers(expected.eager);
  const reference = expected.exact ? numbers(expected.exact) : eager;
  let error = 0;
  let at = 0;
  let largest = 0;
  for (let i = 0; i < got.length; i++) {
    if (!Number.isFinite(got[i]) || !Number.isFinite(eager[i])) {
      if (Object.is(got[i], eager[i])) continue;
      const reason = `is ${got[i]} at ${position(i, tensor.shape)} where PyTorch has ${eager[i]}`;
      return { output, error: Infinity, limit: 0, reason };
    }
    if (!Number.isFinite(reference[i])) continue;
    largest = Math.max(largest, Math.abs(reference[i]!));
    const difference = Math.abs(got[i]! - reference[i]!);
    if (difference > error) [error, at] = [difference, i];
  }
  const limit = limitOf(expected, Math.max(largest, expected.typical.scale));
  const where = position(at, tensor.shape);
  const reason =
    error <= limit ? "" : `is off by ${error.toPrecision(3)} at ${where}, ${times(error / limit)} the limit`;
  return { output, error, limit, reason };
}

function limitOf({ eager, exact, own, typical, bound }: Expected, scale: number): number {
  const dtype = eager.dtype as Floating;
  const limit = exact
    ? FACTOR * Math.max(own, typical.error * scale, FLOOR[dtype] * EPS[dtype] * scale)
    : TOLERANCE[dtype] * scale;
  return Math.max(limit, bound * scale) + FACTOR * TINY[dtype];
}

function judgeExactly(output: string, got: Tensor, eager: Tensor): OutputResult {
  const at = eager.data.findIndex((value: number | bigint, i: number) => value !== got.data[i]);
  if (at < 0) return { output, error: 0, limit: 0, reason: "" };
  const [is, should] = [numbers(got), numbers(eager)];
  const error = is.reduce((largest, value, i) => Math.max(largest, Math.abs(value - should[i]!)), 0);
  const reason = `is ${got.data[at]} at ${position(at, got.shape)} instead of ${eager.data[at]}`;
  return { output, error, limit: 0, reason };
}

function times(ratio: number): string {
  return `${Number(ratio.toPrecision(3))} times`;
}

function position(flat: number, shape: readonly number[]): string {
  const index = [...shape];
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    index[axis] = flat % shape[axis]!;
    flat = Math.floor(flat / shape[axis]!);
  }
  return `[${index.join(", ")}]`;
}
