/** Tensors as files and runtimes hold them: a dtype, a shape, and a typed array in row-major order. */

import { getFloat16, setFloat16 } from "@petamoriken/float16";
import { InputError } from "./errors.js";

export type Dtype = "float16" | "float32" | "float64" | "int32" | "int64" | "bool";
export type Data = Uint16Array | Float32Array | Float64Array | Int32Array | BigInt64Array | Uint8Array;
type ArrayType = { new (length: number): Data; new (buffer: ArrayBuffer): Data; readonly BYTES_PER_ELEMENT: number };

/** float16 is held as its bits, for JavaScript's own Float16Array is not everywhere; bool as 0 and 1. */
export const ARRAYS: Readonly<Record<Dtype, ArrayType>> = {
  float16: Uint16Array,
  float32: Float32Array,
  float64: Float64Array,
  int32: Int32Array,
  int64: BigInt64Array,
  bool: Uint8Array,
};

/** As in files, and on every processor that onnxruntime-node and onnxruntime-web run on. */
const LITTLE_ENDIAN = true;

export interface Tensor {
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly data: Data;
}

export function isDtype(name: unknown): name is Dtype {
  return typeof name === "string" && Object.hasOwn(ARRAYS, name);
}

export function isFloating(dtype: Dtype): boolean {
  return dtype.startsWith("float");
}

export function product(sizes: Iterable<number>): number {
  let result = 1;
  for (const size of sizes) result *= size;
  return result;
}

/** `float32[7, 5, 3]` */
export function describe(dtype: string, shape: readonly (number | string | null)[]): string {
  return `${dtype}[${shape.map((dim) => dim ?? "?").join(", ")}]`;
}

/** The elements as numbers. Of int64 those beyond 2^53 are rounded. */
export function numbers(tensor: Tensor): Float64Array {
  if (tensor.dtype === "float16") return halves(tensor.data as Uint16Array);
  if (tensor.dtype === "int64") return Float64Array.from(tensor.data as BigInt64Array, Number);
  return Float64Array.from(tensor.data as Exclude<Data, BigInt64Array>);
}

/**
 * A tensor of a dtype from numbers, each rounded to the nearest.
 *
 * @throws InputError There are not as many as the shape has elements.
 */
export function fromNumbers(dtype: Dtype, shape: readonly number[], values: readonly number[]): Tensor {
  const data = new ARRAYS[dtype](product(shape));
  if (values.length !== data.length) {
    throw new InputError(`${describe(dtype, shape)} has ${data.length} elements, not ${values.length}. Give as many.`);
  }
  const bits = viewOf(data);
  values.forEach((value, i) => {
    if (dtype === "float16") setFloat16(bits, 2 * i, value, LITTLE_ENDIAN);
    else data[i] = dtype === "int64" ? BigInt(value) : value;
  });
  return { dtype, shape, data };
}

function halves(data: Uint16Array): Float64Array {
  const bits = viewOf(data);
  return Float64Array.from(data, (_, i) => getFloat16(bits, 2 * i, LITTLE_ENDIAN));
}

function viewOf({ buffer, byteOffset, byteLength }: Data): DataView {
  return new DataView(buffer, byteOffset, byteLength);
}

/** The elements of [start, end) along the given axes. */
export function cut(tensor: Tensor, axes: readonly number[], start: number, end: number): Tensor {
  return axes.reduce((rest, axis) => cutAxis(rest, axis, start, end), tensor);
}

function cutAxis(tensor: Tensor, axis: number, start: number, end: number): Tensor {
  const shape = tensor.shape.with(axis, Math.min(end, tensor.shape[axis]!) - start);
  const inner = product(tensor.shape.slice(axis + 1));
  const whole = tensor.shape[axis]! * inner;
  const part = shape[axis]! * inner;
  const data = new ARRAYS[tensor.dtype](product(shape));
  for (let from = start * inner, to = 0; to < data.length; from += whole, to += part) {
    data.set(tensor.data.subarray(from, from + part) as never, to);
  }
  return { dtype: tensor.dtype, shape, data };
}

/** Tensors joined along an axis, of which `outer` blocks each are interleaved: as many as come before the joined size. */
export function join(parts: readonly Tensor[], axis: number, outer: number): Tensor {
  const first = parts[0]!;
  const shape = first.shape.with(
    axis,
    parts.reduce((sum, part) => sum + part.shape[axis]!, 0),
  );
  const data = new ARRAYS[first.dtype](product(shape));
  let to = 0;
  for (let block = 0; block < outer; block++) {
    for (const part of parts) {
      const length = part.data.length / outer;
      data.set(part.data.subarray(block * length, (block + 1) * length) as never, to);
      to += length;
    }
  }
  return { dtype: first.dtype, shape, data };
}
