/** Feeding a model in chunks: states are carried from one to the next, and outputs are joined along time. */

import { InputError } from "./errors.js";
import type { Dim, Manifest, Spec, State, StreamSpec } from "./manifest.js";
import type { Session } from "./session.js";
import { Tensor, cut, describe, fromNumbers, join, product } from "./tensor.js";

type Tensors = ReadonlyMap<string, Tensor>;
type Sizes = ReadonlyMap<string, number>;

/** A stream at its beginning, for given sizes of the dynamic dimensions but for the time. */
export class Stream {
  private current: Tensors;

  constructor(
    private readonly session: Session,
    private readonly spec: StreamSpec,
    private readonly sizes: Sizes,
  ) {
    this.current = initialStates(spec, sizes);
  }

  /**
   * Feed a chunk of any number of time steps; await it before the next.
   *
   * @returns The model's outputs, those of states among them.
   * @throws InputError A tensor is missing or does not fit; the states are then as they were.
   */
  async run(inputs: Tensors): Promise<Map<string, Tensor>> {
    const outputs = await this.session.run(new Map([...inputs, ...this.current]));
    this.current = new Map([...this.spec.states].map(([name, { output }]) => [name, outputNamed(output, outputs)]));
    return outputs;
  }

  /** The states by their inputs' names; assign what was read to go back there. */
  get states(): Tensors {
    return this.current;
  }

  set states(values: Tensors) {
    for (const [name, state] of this.current) {
      const given = values.get(name);
      if (given?.dtype !== state.dtype || given.shape.join() !== state.shape.join()) {
        const is = given ? describe(given.dtype, given.shape) : "missing";
        throw new InputError(`State '${name}' is ${is}, not ${describe(state.dtype, state.shape)}. Give it so.`);
      }
    }
    this.current = new Map([...this.current.keys()].map((name) => [name, values.get(name)!]));
  }

  reset(): void {
    this.current = initialStates(this.spec, this.sizes);
  }
}

/**
 * Run a whole sequence, from the states' reset values or from those among the inputs.
 *
 * @param chunk As many time steps are fed at once; null for all.
 * @throws InputError A tensor is missing or does not fit, or the model has no states to carry.
 */
export async function runWhole(
  session: Session,
  manifest: Manifest | null,
  spec: StreamSpec | null,
  inputs: Tensors,
  chunk: number | null,
): Promise<Map<string, Tensor>> {
  if (!spec || !manifest) {
    if (chunk === null) return session.run(inputs);
    throw new InputError("The model has no states to carry, so it cannot be fed in chunks. Export it with --stateful.");
  }
  const sizes = sizesOf(manifest.inputs, inputs);
  const stream = begin(session, spec, sizes, inputs);
  const { time } = spec;
  if (time === null && chunk !== null) {
    throw new InputError("The model has no time to cut chunks along: one call after another is the stream.");
  }
  const T = time === null ? 1 : (sizes.get(time) ?? 0);
  if (T % spec.multiple || (chunk ?? 0) % spec.multiple) {
    throw new InputError(`The model takes chunks of a multiple of ${spec.multiple} steps. Give so many.`);
  }
  const goesOn = [...spec.states.keys()].some((name) => inputs.has(name));
  const late = (outputs: Tensors) => (goesOn ? new Map(outputs) : inTime(manifest, spec, outputs));
  if (time === null || chunk === null || chunk >= T) return late(await stream.run(inputs));
  const parts: Map<string, Tensor>[] = [];
  for (let start = 0; start < T; start += chunk) {
    parts.push(await stream.run(steps(manifest, spec, inputs, start, start + chunk)));
  }
  const joined = new Map<string, Tensor>();
  for (const name of parts[0]!.keys()) {
    const pieces = parts.map((part) => part.get(name)!);
    joined.set(name, joinAlongTime(name, pieces, manifest.outputs.get(name), time, sizes));
  }
  return late(joined);
}

/** Outputs without what comes before their first element and after a whole run's last. */
function inTime(manifest: Manifest, spec: StreamSpec, outputs: Tensors): Map<string, Tensor> {
  const whole = new Map(outputs);
  for (const [name, { delay, extra }] of Object.entries(spec.timings)) {
    const axis = timeAxis(manifest.outputs.get(name)?.shape ?? [], spec.time ?? "");
    if (axis < 0) continue;
    const joined = outputNamed(name, outputs);
    const length = joined.shape[axis]!;
    const kept = Math.min(length - delay, length + extra);
    whole.set(name, kept < 1 ? cut(joined, [axis], 0, 0) : cut(joined, [axis], delay, delay + kept));
  }
  return whole;
}

/** The elements of a whole run's output that a stream gives too. */
export function seen(manifest: Manifest, spec: StreamSpec, name: string, whole: Tensor): Tensor {
  const timing = spec.timings[name];
  const axis = timeAxis(manifest.outputs.get(name)?.shape ?? [], spec.time ?? "");
  if (!timing || axis < 0) return whole;
  const length = whole.shape[axis]!;
  return cut(whole, [axis], 0, Math.max(0, Math.min(length, length - timing.extra - timing.delay)));
}

/** @throws InputError The model gives no such output. */
export function outputNamed(name: string, outputs: Tensors): Tensor {
  const tensor = outputs.get(name);
  if (tensor) return tensor;
  throw new InputError(`The model has no output '${name}'. Export it again.`);
}

/** The sizes of the dynamic dimensions, read from the inputs' shapes. */
function sizesOf(specs: ReadonlyMap<string, Spec>, inputs: Tensors): Map<string, number> {
  const sizes = new Map<string, number>();
  for (const [name, { dtype, shape }] of specs) {
    const tensor = inputs.get(name);
    const wanted = describe(dtype, shape);
    if (!tensor) throw new InputError(`Input '${name}' is missing; the model takes ${wanted}.`);
    const fits =
      shape.length === tensor.shape.length && shape.every((dim, axis) => agrees(dim, tensor.shape[axis]!, sizes));
    if (!fits) {
      throw new InputError(
        `Input '${name}' is ${describe(tensor.dtype, tensor.shape)}, and the model takes ${wanted}.`,
      );
    }
  }
  return sizes;
}

function agrees(dim: Dim, size: number, sizes: Map<string, number>): boolean {
  if (typeof dim !== "string") return dim === null || dim === size;
  if (!sizes.has(dim)) sizes.set(dim, size);
  return sizes.get(dim) === size;
}

function begin(session: Session, spec: StreamSpec, sizes: Sizes, inputs: Tensors): Stream {
  const stream = new Stream(session, spec, sizes);
  stream.states = new Map([...stream.states].map(([name, state]) => [name, inputs.get(name) ?? state]));
  return stream;
}

function initialStates(spec: StreamSpec, sizes: Sizes): Map<string, Tensor> {
  return new Map([...spec.states].map(([name, state]) => [name, initial(name, state, sizes)]));
}

/** One value for all elements; or the elements of a state whose dynamic sizes are 1, the same for every sequence. */
function initial(name: string, { dtype, shape, reset }: State, sizes: Sizes): Tensor {
  const least = shape.map((dim) => (typeof dim === "number" ? dim : 1));
  let state = fromNumbers(dtype, least, reset.length === 1 ? Array(product(least)).fill(reset[0]) : reset);
  shape.forEach((dim, axis) => {
    const size = typeof dim === "string" ? multiply(`State '${name}'`, dim.split("*"), sizes) : 1;
    if (size !== 1) state = join(Array<Tensor>(size).fill(state), axis, product(state.shape.slice(0, axis)));
  });
  return state;
}

/** The size that the factors of a product such as `6*N` make. */
function multiply(what: string, factors: readonly string[], sizes: Sizes): number {
  return product(
    factors.map((factor) => {
      const size = /^\d+$/.test(factor) ? Number(factor) : sizes.get(factor);
      if (size !== undefined) return size;
      throw new InputError(`${what} depends on the size ${factor}, which is not given.`);
    }),
  );
}

function steps(manifest: Manifest, spec: StreamSpec, inputs: Tensors, start: number, end: number): Tensors {
  const part = new Map<string, Tensor>();
  for (const [name, { shape }] of manifest.inputs) {
    const axes = shape.flatMap((dim, axis) => (dim === spec.time ? [axis] : []));
    if (!spec.states.has(name)) part.set(name, cut(inputs.get(name)!, axes, start, end));
  }
  return part;
}

/** An output with the time along it is joined; one without is that of the last chunk. */
function joinAlongTime(
  name: string,
  parts: readonly Tensor[],
  spec: Spec | undefined,
  time: string,
  sizes: Sizes,
): Tensor {
  const axis = spec ? timeAxis(spec.shape, time) : -1;
  if (!spec || axis < 0) return parts.at(-1)!;
  const sequences = multiply(`Output '${name}'`, factorsBefore(spec.shape[axis]!, time), sizes);
  return join(parts, axis, sequences * product(parts[0]!.shape.slice(0, axis)));
}

/** The first axis with the time in its size, else the first whose size nothing explains. */
function timeAxis(shape: readonly Dim[], time: string): number {
  const known = shape.findIndex((dim) => typeof dim === "string" && dim.split("*").includes(time));
  return known >= 0 ? known : shape.indexOf(null);
}

/** The factors before the time, such as N in `N*T`: so many sequences lie one after the other. */
function factorsBefore(dim: Dim, time: string): string[] {
  if (typeof dim !== "string") return [];
  const factors = dim.split("*");
  return factors.slice(0, factors.indexOf(time));
}
