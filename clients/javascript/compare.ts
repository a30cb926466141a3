/** Judging one output against PyTorch: errors within their limits, non-finite values in place, same shape and dtype. */

import { Tensor, describe, numbers } from "./tensor.js";

/**
 * What an output should be: PyTorch's own, in float64 where that is a reference, and how large the error of each element
 * may be, absolute. All have one shape. Integers have no limits, and must be equal.
 */
export interface Expected {
  readonly eager: Tensor;
  readonly exact: Tensor | null;
  readonly limits: Tensor | null;
}

/**
 * The error that is largest in units of its limit, that limit, and what is wrong; `reason` is empty for an output that
 * passes. `valuesOff` says that nothing but the size of errors is wrong.
 */
export interface OutputResult {
  readonly output: string;
  readonly error: number;
  readonly limit: number;
  readonly reason: string;
  readonly valuesOff?: boolean;
}

/** The error in units of the limit; infinite where there is an error and nothing is allowed. */
export function share({ error, limit }: Pick<OutputResult, "error" | "limit">): number {
  return limit === 0 ? (error === 0 ? 0 : Infinity) : error / limit;
}

/** @param got What the runtime gave; undefined if it gave no such output. */
export function judge(output: string, got: Tensor | undefined, expected: Expected): OutputResult {
  const { eager } = expected;
  if (!got) return { output, error: Infinity, limit: 0, reason: "is not among the model's outputs" };
  if (got.dtype !== eager.dtype || got.shape.join() !== eager.shape.join()) {
    const reason = `is ${describe(got.dtype, got.shape)} instead of ${describe(eager.dtype, eager.shape)}`;
    return { output, error: Infinity, limit: 0, reason };
  }
  return expected.limits
    ? judgeValues(output, got, expected, numbers(expected.limits))
    : judgeExactly(output, got, eager);
}

function judgeValues(output: string, tensor: Tensor, expected: Expected, limits: Float64Array): OutputResult {
  const got = numbers(tensor);
  const eager = numbers(expected.eager);
  const reference = expected.exact ? numbers(expected.exact) : eager;
  let worst = { error: 0, limit: limits[0] ?? 0 };
  let at = 0;
  for (let i = 0; i < got.length; i++) {
    if (!Number.isFinite(got[i]) || !Number.isFinite(eager[i])) {
      if (Object.is(got[i], eager[i])) continue;
      const reason = `is ${got[i]} at ${position(i, tensor.shape)} where PyTorch has ${eager[i]}`;
      return { output, error: Infinity, limit: 0, reason };
    }
    if (!Number.isFinite(reference[i])) continue;
    const found = { error: Math.abs(got[i]! - reference[i]!), limit: limits[i]! };
    if (share(found) > share(worst)) [worst, at] = [found, i];
  }
  const { error, limit } = worst;
  if (error <= limit) return { output, error, limit, reason: "" };
  const off = `is off by ${error.toPrecision(3)} at ${position(at, tensor.shape)}`;
  const beyond = limit === 0 ? "and has to be the very same number" : `${times(error / limit)} the limit`;
  return { output, error, limit, reason: `${off}, ${beyond}`, valuesOff: true };
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
