/** A model of several graphs: `pipeline.json`, and greedy decoding as it says. */

import * as z from "zod/mini";
import { InputError } from "./errors.js";
import { readJson } from "./json.js";
import { ARRAYS, Dtype, Tensor, cut, fromNumbers, numbers, product } from "./tensor.js";

type Tensors = ReadonlyMap<string, Tensor>;

export const PIPELINE = "pipeline.json";

const size = z.int().check(z.nonnegative());
const element = z.union([z.number(), z.pipe(z.enum(["NaN", "Infinity", "-Infinity"]), z.transform(Number))]);

/** For one sequence: the last tokens, as many as the tensor has elements; or a state before the first step. */
const begin = z.object({
  dtype: z.enum(Object.keys(ARRAYS) as Dtype[]),
  shape: z.array(size),
  reset: z.optional(z.union([element, z.array(element)])),
});

/** What goes into an input, and into a state after a token was emitted. */
const feed = z.object({
  from: z.string(),
  then: z.optional(z.string()),
  frame: z.optional(z.object({ axis: size, kept: z.boolean() })),
  begin: z.optional(begin),
});

const graph = z.object({
  bundle: z.string(),
  file: z.string(),
  manifest_sha256: z.string(),
  runs: z.array(z.enum(["frame", "token"])),
  inputs: z.record(z.string(), feed),
});

const decoding = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("transducer"), blank: size, max_symbols: size, limit: size }),
  z.object({ kind: z.literal("text"), end: z.nullable(size), limit: size }),
]);

const pipeline = z.object({
  format: z.literal(1, "is not 1"),
  inputs: z.record(z.string(), z.string()),
  graphs: z.record(z.string(), graph),
  logits: z.object({ step: z.string(), first: z.optional(z.string()) }),
  start: z.array(size),
  decoding,
});

export type PipelineSpec = z.infer<typeof pipeline>;
export type Graph = z.infer<typeof graph>;
type Feed = z.infer<typeof feed>;
type When = "frame" | "token";

/** Runs a graph: its outputs for its inputs, by name. */
export type RunGraph = (graph: string, inputs: Tensors) => Promise<Tensors>;

/** @throws InputError It is no pipeline of this format. */
export function readPipeline(bytes: Uint8Array, file: string): PipelineSpec {
  return readJson(bytes, pipeline, (reason) => new InputError(`${file} is no pipeline (${reason}). Export it again.`));
}

/** One sequence that is decoded; await one chunk before the next. */
export class Decoding {
  private readonly tokens: number[];
  private readonly values = new Map<string, Tensor>();
  private readonly states = new Map<string, Tensor>();
  private readonly next = new Map<string, Tensor>();
  private frame = 0;
  private began = false;

  constructor(
    private readonly spec: PipelineSpec,
    private readonly run: RunGraph,
  ) {
    this.tokens = [...spec.start];
  }

  /**
   * The tokens that are emitted for these inputs; a transducer takes chunk after chunk of them.
   *
   * @throws InputError An input is missing, or a graph does not run.
   */
  async feed(inputs: Tensors): Promise<number[]> {
    const before = this.tokens.length;
    for (const name of Object.keys(this.spec.inputs)) {
      const given = inputs.get(name);
      if (!given) throw new InputError(`Input '${name}' is missing; it is ${this.spec.inputs[name]}.`);
      this.values.set(`inputs.${name}`, given);
    }
    for (const [name, { runs }] of Object.entries(this.spec.graphs)) if (runs.length === 0) await this.runGraph(name);
    this.takeOver();
    if (this.spec.decoding.kind === "transducer") await this.transduce(this.spec.decoding);
    else await this.write(this.spec.decoding.end);
    return this.tokens.slice(before);
  }

  private async transduce({ blank, max_symbols }: { blank: number; max_symbols: number }): Promise<void> {
    const [source, axis] = this.frames();
    for (this.frame = 0; this.frame < source.shape[axis]!; this.frame++) {
      await this.runThose(this.began ? ["frame"] : ["frame", "token"]);
      this.began = true;
      for (let symbols = 0; symbols < max_symbols; symbols++) {
        if (this.full) return;
        const token = this.likeliest(this.spec.logits.step);
        if (token === blank) break;
        await this.emit(token);
      }
    }
  }

  private async write(end: number | null): Promise<void> {
    let source = this.spec.logits.first;
    if (source === undefined) await this.runThose(["token"]);
    while (!this.full) {
      const token = this.likeliest(source ?? this.spec.logits.step);
      if (token === end) return;
      await this.emit(token);
      source = undefined;
    }
  }

  private async emit(token: number): Promise<void> {
    this.tokens.push(token);
    this.takeOver();
    if (!this.full) await this.runThose(["token"]);
  }

  private get full(): boolean {
    return this.tokens.length - this.spec.start.length >= this.spec.decoding.limit;
  }

  private takeOver(): void {
    for (const [key, state] of this.next) this.states.set(key, state);
    this.next.clear();
  }

  private async runThose(when: readonly When[]): Promise<void> {
    for (const [name, { runs }] of Object.entries(this.spec.graphs)) {
      if (when.some((each) => runs.includes(each))) await this.runGraph(name);
    }
  }

  private async runGraph(name: string): Promise<void> {
    const feeds = Object.entries(this.spec.graphs[name]!.inputs);
    const inputs = new Map(feeds.map(([input, each]) => [input, this.value(`${name}.${input}`, each)]));
    for (const [output, value] of await this.run(name, inputs)) this.values.set(`${name}.${output}`, value);
    for (const [input, { then }] of feeds) {
      if (then !== undefined) this.next.set(`${name}.${input}`, this.named(`${name}.${then}`));
    }
  }

  private value(target: string, { from, frame, begin }: Feed): Tensor {
    const state = this.states.get(target);
    if (state) return state;
    if (begin) {
      const count = product(begin.shape);
      const reset = [begin.reset ?? []].flat();
      const values = from === "token" ? this.tokens.slice(-count) : reset.length === 1 ? Array(count).fill(reset[0]) : reset;
      return fromNumbers(begin.dtype, begin.shape, values as number[]);
    }
    const whole = this.named(from);
    if (!frame) return whole;
    const part = cut(whole, [frame.axis], this.frame, this.frame + 1);
    return frame.kept ? part : { ...part, shape: part.shape.filter((_, axis) => axis !== frame.axis) };
  }

  private named(source: string): Tensor {
    const found = this.values.get(source);
    if (!found) throw new InputError(`'${source}' is not there when it is read. Export the pipeline again.`);
    return found;
  }

  private frames(): [Tensor, number] {
    const feeds = Object.values(this.spec.graphs).flatMap(({ inputs }) => Object.values(inputs));
    const found = feeds.find(({ frame }) => frame !== undefined);
    if (!found?.frame) throw new InputError("No input of the transducer is fed frame by frame. Export it again.");
    return [this.named(found.from), found.frame.axis];
  }

  /** The token with the largest logit in the last row, the first of several. */
  private likeliest(source: string): number {
    const logits = this.named(source);
    const row = numbers(logits).subarray(-logits.shape.at(-1)!);
    return row.reduce((best, logit, token) => (logit > row[best]! ? token : best), 0);
  }
}
