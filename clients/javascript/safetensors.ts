/** Reading and writing safetensors: the length of a header, the header as JSON, the tensors' bytes. */

import { InputError } from "./errors.js";
import { ARRAYS, Dtype, Tensor, product } from "./tensor.js";

const DTYPES: Readonly<Record<string, Dtype>> = {
  F16: "float16",
  F32: "float32",
  F64: "float64",
  I32: "int32",
  I64: "int64",
  BOOL: "bool",
};
const NAMES = new Map(Object.entries(DTYPES).map(([name, dtype]) => [dtype, name]));

/** The most that safetensors itself allows a header. */
const LARGEST_HEADER = 100_000_000;

/**
 * The tensors of a file, by name, in the order of their names.
 *
 * @throws InputError It is not a safetensors file, or holds a dtype that bundles do not have.
 */
export function readTensors(bytes: Uint8Array, file: string): Map<string, Tensor> {
  const bad = (reason: string): InputError => new InputError(`${file} is not a safetensors file: ${reason}.`);
  const [header, data] = split(bytes, bad);
  const tensors = new Map<string, Tensor>();
  for (const name of Object.keys(header).sort()) {
    if (name !== "__metadata__") tensors.set(name, tensor(name, header[name], data, bad));
  }
  return tensors;
}

function split(bytes: Uint8Array, bad: (reason: string) => InputError): [Record<string, unknown>, Uint8Array] {
  if (bytes.length < 8) throw bad(`it has ${bytes.length} bytes`);
  const length = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
  if (length > bytes.length - 8) throw bad("its header ends beyond the file");
  if (length > LARGEST_HEADER) throw bad("its header is larger than 100 MB");
  let header: unknown;
  try {
    header = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes.subarray(8, 8 + length)));
  } catch {
    throw bad("its header is not JSON");
  }
  if (!isObject(header)) throw bad("its header is not a JSON object");
  return [header, bytes.subarray(8 + length)];
}

function tensor(name: string, entry: unknown, data: Uint8Array, bad: (reason: string) => InputError): Tensor {
  if (!isObject(entry)) throw bad(`'${name}' has no entry`);
  const { dtype: stored, shape, data_offsets: offsets } = entry;
  if (typeof stored !== "string" || !isSizes(shape) || !isSizes(offsets) || offsets.length !== 2) {
    throw bad(`'${name}' lacks a dtype, a shape or offsets`);
  }
  if (!Object.hasOwn(DTYPES, stored)) {
    throw new InputError(`'${name}' has the dtype ${stored}; of those ${[...NAMES.values()].join(", ")} can be read.`);
  }
  const dtype = DTYPES[stored]!;
  const [start, end] = offsets as [number, number];
  if (start > end || end > data.length) throw bad(`'${name}' lies outside the file`);
  if (product(shape) * ARRAYS[dtype].BYTES_PER_ELEMENT !== end - start) {
    throw bad(`'${name}' has ${end - start} bytes, which its shape [${shape.join(", ")}] does not fit`);
  }
  // A copy, for a typed array must begin at a multiple of its element's size.
  return { dtype, shape, data: new ARRAYS[dtype](new Uint8Array(data.subarray(start, end)).buffer) };
}

/** A safetensors file of the tensors. */
export function writeTensors(tensors: ReadonlyMap<string, Tensor>): Uint8Array {
  // Those with large elements first: so each lies at a multiple of its element's size.
  const ordered = [...tensors].sort(
    ([a, one], [b, other]) => other.data.BYTES_PER_ELEMENT - one.data.BYTES_PER_ELEMENT || (a < b ? -1 : Number(a > b)),
  );
  const header: Record<string, unknown> = Object.create(null);
  let end = 0;
  for (const [name, { dtype, shape, data }] of ordered) {
    header[name] = { dtype: NAMES.get(dtype), shape, data_offsets: [end, (end += data.byteLength)] };
  }
  const encoded = new TextEncoder().encode(JSON.stringify(header));
  const padded = Math.ceil(encoded.length / 8) * 8;
  const bytes = new Uint8Array(8 + padded + end).fill(0x20, 8, 8 + padded);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(padded), true);
  bytes.set(encoded, 8);
  let start = 8 + padded;
  for (const [, { data }] of ordered) {
    bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), start);
    start += data.byteLength;
  }
  return bytes;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isSizes(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((size) => Number.isSafeInteger(size) && size >= 0);
}
