/** `manifest.json` of a bundle, as far as running and checking it needs; all else in it is left alone. */

import { InputError } from "./errors.js";
import { Dtype, isDtype } from "./tensor.js";

/** A number is a fixed size, a name or a product such as `T*N` a dynamic one, null one that nothing explains. */
export type Dim = number | string | null;

export interface Spec {
  readonly dtype: Dtype;
  readonly shape: readonly Dim[];
}

/** An input, with the smallest and the largest value of integers; the largest may be the name of a size. */
export interface Input extends Spec {
  readonly range: readonly (number | string)[] | null;
}

/** A state: `output` continues it, and `reset` are its elements before the first chunk, or one for all of them. */
export interface State extends Spec {
  readonly output: string;
  readonly reset: readonly number[];
}

/** How a model file is fed in chunks: the dimension that they are cut along, and the states by their inputs' names. */
export interface StreamSpec {
  readonly time: string;
  readonly states: ReadonlyMap<string, State>;
}

/** How an artifact was proved when it was exported. */
export interface Proof {
  readonly passed: boolean;
  readonly runtime: string;
  readonly cases: number;
  readonly reference: string;
  readonly share: number;
}

/** A model file. `bound` is what int8 weights may cost, relative to an output's scale; `weights` is their kind. */
export interface Artifact {
  readonly madeBy: string;
  readonly opset: number | null;
  readonly stream: StreamSpec | null;
  readonly weights: string | null;
  readonly bound: number;
  readonly proof: Proof | null;
}

/** A stored case, and PyTorch's own error on it per output. */
export interface StoredCase {
  readonly name: string;
  readonly values: string;
  readonly ownError: ReadonlyMap<string, number>;
}

/** Medians over ordinary cases: of an output's largest value, and of PyTorch's error relative to it. */
export interface Typical {
  readonly scale: number;
  readonly error: number;
}

export interface Manifest {
  readonly name: string;
  readonly inputs: ReadonlyMap<string, Input>;
  readonly outputs: ReadonlyMap<string, Spec>;
  readonly artifacts: ReadonlyMap<string, Artifact>;
  readonly hashes: ReadonlyMap<string, string>;
  readonly cases: readonly StoredCase[];
  readonly typical: ReadonlyMap<string, Typical>;
  readonly versions: ReadonlyMap<string, string>;
}

/**
 * @throws InputError It is not a manifest of this format.
 */
export function readManifest(bytes: Uint8Array, file: string): Manifest {
  try {
    return manifest(JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes)));
  } catch (error) {
    const reason = error instanceof Malformed ? error.message : "it is not JSON";
    throw new InputError(`${file} is not a manifest (${reason}). Export the model again.`);
  }
}

class Malformed extends Error {}

function manifest(value: unknown): Manifest {
  const data = object(value, "it");
  if (data["format"] !== 1) throw new Malformed("it is not of format 1");
  return {
    name: text(data["name"], "name"),
    inputs: entries(data["inputs"], "inputs", input),
    outputs: entries(data["outputs"], "outputs", output),
    artifacts: entries(data["artifacts"], "artifacts", artifact),
    hashes: entries(data["files"], "files", (entry, at) => text(object(entry, at)["sha256"], `${at}.sha256`)),
    cases: list(data["cases"], "cases", storedCase),
    typical: entries(data["typical"], "typical", typical),
    versions: entries(data["versions"], "versions", text),
  };
}

function input(value: unknown, at: string): Input {
  const data = object(value, at);
  const range = data["range"] === null ? null : list(data["range"], `${at}.range`, bound);
  return { dtype: dtype(data["dtype"], at), shape: list(data["shape"], `${at}.shape`, dim), range };
}

/** From a description such as `float32[T*N, 3]`. */
function output(value: unknown, at: string): Spec {
  const [, name, dims] = /^(\w+)\[(.*)\]$/.exec(text(value, at)) ?? [];
  const shape = dims
    ? dims.split(", ").map((each) => (each === "?" ? null : /^\d+$/.test(each) ? Number(each) : each))
    : [];
  return { dtype: dtype(name, at), shape };
}

function artifact(value: unknown, at: string): Artifact {
  const data = object(value, at);
  const precision = data["precision"] === null ? null : object(data["precision"], `${at}.precision`);
  return {
    madeBy: text(data["made_by"], `${at}.made_by`),
    opset: data["opset"] === null ? null : number(data["opset"], `${at}.opset`),
    stream: data["stream"] === null ? null : stream(data["stream"], `${at}.stream`),
    weights: precision && text(precision["weights"], `${at}.precision.weights`),
    // A float16 file is judged as a float16 model, and its bound is for what that costs beside the float32 one.
    bound: precision?.["weights"] === "int8" ? number(precision["bound"], `${at}.precision.bound`) : 0,
    proof: data["parity"] === null ? null : proof(data["parity"], `${at}.parity`),
  };
}

function stream(value: unknown, at: string): StreamSpec {
  const data = object(value, at);
  return { time: text(data["time"], `${at}.time`), states: entries(data["states"], `${at}.states`, state) };
}

function state(value: unknown, at: string): State {
  const data = object(value, at);
  const reset = Array.isArray(data["reset"]) ? data["reset"] : [data["reset"]];
  return {
    dtype: dtype(data["dtype"], at),
    shape: list(data["shape"], `${at}.shape`, dim),
    output: text(data["output"], `${at}.output`),
    reset: list(reset, `${at}.reset`, resetValue),
  };
}

function proof(value: unknown, at: string): Proof {
  const data = object(value, at);
  const { passed, largest_error_over_limit: share } = data;
  return {
    passed: passed === true,
    runtime: text(data["runtime"], `${at}.runtime`),
    cases: list(data["cases"], `${at}.cases`, object).length,
    reference: text(data["reference"], `${at}.reference`),
    share: number(share, `${at}.largest_error_over_limit`),
  };
}

function storedCase(value: unknown, at: string): StoredCase {
  const data = object(value, at);
  return {
    name: text(data["name"], `${at}.name`),
    values: text(data["values"], `${at}.values`),
    ownError: entries(data["own_error"], `${at}.own_error`, number),
  };
}

function typical(value: unknown, at: string): Typical {
  const data = object(value, at);
  return { scale: number(data["scale"], `${at}.scale`), error: number(data["error"], `${at}.error`) };
}

function dim(value: unknown, at: string): number | string {
  if (typeof value === "string" || (Number.isSafeInteger(value) && (value as number) >= 0))
    return value as number | string;
  throw new Malformed(`${at} is not a size`);
}

function bound(value: unknown, at: string): number | string {
  return typeof value === "string" ? value : number(value, at);
}

/** Infinity and NaN, which JSON lacks, are strings. */
function resetValue(value: unknown, at: string): number {
  return typeof value === "string" && /^(NaN|-?Infinity)$/.test(value) ? Number(value) : number(value, at);
}

function dtype(value: unknown, at: string): Dtype {
  if (isDtype(value)) return value;
  throw new Malformed(`${at} has no known dtype`);
}

function object(value: unknown, at: string): Record<string, unknown> {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw new Malformed(`${at} is not an object`);
}

function entries<T>(value: unknown, at: string, read: (value: unknown, at: string) => T): Map<string, T> {
  return new Map(Object.entries(object(value, at)).map(([name, entry]) => [name, read(entry, `${at}.${name}`)]));
}

function list<T>(value: unknown, at: string, read: (value: unknown, at: string) => T): T[] {
  if (!Array.isArray(value)) throw new Malformed(`${at} is not a list`);
  return value.map((entry, index) => read(entry, `${at}.${index}`));
}

function text(value: unknown, at: string): string {
  if (typeof value !== "string") throw new Malformed(`${at} is not a string`);
  return value;
}

function number(value: unknown, at: string): number {
  if (typeof value !== "number") throw new Malformed(`${at} is not a number`);
  return value;
}
