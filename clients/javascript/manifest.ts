/** `manifest.json` of a bundle, as far as running and checking it needs; all else in it is left alone. */

import * as z from "zod/mini";
import { InputError } from "./errors.js";
import { readJson } from "./json.js";
import { ARRAYS, Dtype } from "./tensor.js";

const dtype = z.enum(Object.keys(ARRAYS) as Dtype[], "is not a known dtype");
/** A number is a fixed size, a name, a product such as `T*N` or a size that follows from others a dynamic one. */
const dim = z.union([z.string(), z.int().check(z.nonnegative())], "is not a size");
const spec = { dtype, shape: z.array(dim) };

/** The values of floats that take not all of them; `above` and `below` leave out the end itself. */
const floats = z.object({
  low: z.nullable(z.number()),
  high: z.nullable(z.number()),
  above: z.boolean(),
  below: z.boolean(),
  one_of: z.array(z.number()),
});

/**
 * An input, with the smallest and the largest value of integers; the largest may be the name of a size. The values may
 * have to descend, as lengths of sorted sequences do.
 */
const input = z.object({
  ...spec,
  range: z.nullable(z.array(z.union([z.number(), z.string()]))),
  floats: z.optional(floats),
  descending: z.optional(z.boolean()),
});

/**
 * From a description such as `float32[T*N, 3]`, where `?` is a size that nothing explains. The factors of a product are
 * in the order in which its elements lie.
 */
const output = z.pipe(
  z.pipe(z.string(), z.transform(parts)),
  z.object({ dtype, shape: z.array(z.nullable(dim)) }),
);

/** Infinity and NaN, which JSON lacks, are strings. */
const element = z.union([z.number(), z.pipe(z.enum(["NaN", "Infinity", "-Infinity"]), z.transform(Number))]);

/** A state: `output` continues it, and `reset` are its elements before the first chunk, or one for all of them. */
const state = z.object({
  ...spec,
  output: z.string(),
  reset: z.pipe(
    z.union([element, z.array(element)], "is not a number or a list of numbers"),
    z.transform((reset) => [reset].flat()),
  ),
});

/**
 * How an output lies to that of a whole run: its first `delay` elements mean nothing, and of a whole run there are
 * `extra` more, below 0 fewer.
 */
const timing = z.object({ delay: z._default(z.int(), 0), extra: z._default(z.int(), 0) });

/**
 * How a model file is fed in chunks: the dimension that they are cut along, the states by their inputs' names, of how
 * many steps a chunk is a multiple, and how outputs lie that are late, by name.
 *
 * The dimension is null where there is none: then one call after another is the stream.
 */
const stream = z.object({
  time: z.nullable(z.string()),
  states: entries(state),
  multiple: z._default(z.int().check(z.positive()), 1),
  timings: z._default(z.record(z.string(), timing), {}),
});

/** How an artifact was proved when it was exported. The largest error is null where it is no finite share of its limit. */
const parity = z.object({
  passed: z.boolean(),
  runtime: z.string(),
  cases: z.array(z.object({})),
  reference: z.string(),
  largest_error_over_limit: z.nullable(z.number()),
});

/** A model file. `bound` is what smaller weights may cost, relative to an output's scale. */
const artifact = z.object({
  made_by: z.string(),
  opset: z.nullable(z.number()),
  stream: z.nullable(stream),
  precision: z.nullable(z.object({ weights: z.string(), bound: z.number() })),
  parity: z.nullable(parity),
});

/** A stored case, its sizes, and its kind of values. */
const storedCase = z.object({
  name: z.string(),
  sizes: z.optional(z.record(z.string(), z.number())),
  values: z.string(),
});

const anyFormat = z.object({ format: z.unknown() });

const manifest = z.object({
  format: z.literal(3, "is not 3"),
  name: z.string(),
  inputs: entries(input),
  outputs: entries(output),
  artifacts: entries(artifact),
  files: entries(z.object({ sha256: z.string() })),
  cases: z.array(storedCase),
  versions: entries(z.string()),
});

export type Input = z.infer<typeof input>;
export type Spec = z.infer<typeof output>;
export type Dim = Spec["shape"][number];
export type State = z.infer<typeof state>;
export type StreamSpec = z.infer<typeof stream>;
export type Artifact = z.infer<typeof artifact>;
export type StoredCase = z.infer<typeof storedCase>;
export type Manifest = z.infer<typeof manifest>;

/**
 * @throws InputError It is not a manifest of this format.
 */
export function readManifest(bytes: Uint8Array, file: string): Manifest {
  const bad = (reason: string) => new InputError(`${file} is not a manifest (${reason}). Export the model again.`);
  const { format } = readJson(bytes, anyFormat, bad);
  if (format === 1 || format === 2) {
    throw new InputError(`${file} is of format ${format}, whose limits were too wide. Export the model again.`);
  }
  return readJson(bytes, manifest, bad);
}

/** An object's entries, by name. */
function entries<T extends z.ZodMiniType>(entry: T) {
  return z.pipe(
    z.record(z.string(), entry),
    z.transform((found): ReadonlyMap<string, z.output<T>> => new Map(Object.entries(found))),
  );
}

function parts(described: string) {
  const [, name, dims] = /^(\w+)\[(.*)\]$/.exec(described) ?? [];
  const shape = (dims ? dims.split(", ") : []).map((each) =>
    each === "?" ? null : /^\d+$/.test(each) ? Number(each) : each,
  );
  return { dtype: name, shape };
}
