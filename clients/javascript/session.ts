/** A model file opened in ONNX Runtime, whose interface in Node and in the browser is the same. */

import type { InferenceSession, Tensor as OrtTensor } from "onnxruntime-common";
import { InputError, firstLine } from "./errors.js";
import type { Dim } from "./manifest.js";
import { Data, Tensor, describe, isDtype } from "./tensor.js";

/** What is used of ONNX Runtime: the module `onnxruntime-node` or `onnxruntime-web`. */
export interface OnnxRuntime {
  readonly InferenceSession: typeof InferenceSession;
  readonly Tensor: typeof OrtTensor;
}

/** A model as ONNX Runtime takes it: a path, or the bytes with those of the files beside it. */
export type Model = string | { readonly bytes: Uint8Array; readonly beside: ReadonlyMap<string, Uint8Array> };

/** An input as the graph declares it. */
interface Declared {
  readonly dtype: string;
  readonly shape: readonly Dim[];
}

/** What ONNX Runtime has to say, it also throws. */
const QUIET = { logSeverityLevel: 4 } as const;

export class Session {
  /** By name. */
  readonly inputs: ReadonlyMap<string, Declared>;

  constructor(
    private readonly ort: OnnxRuntime,
    private readonly session: InferenceSession,
    /** Whether every node runs on the provider that was asked for. */
    readonly strict: boolean,
  ) {
    this.inputs = new Map(
      session.inputMetadata.map((input) => [
        input.name,
        input.isTensor ? { dtype: input.type, shape: input.shape } : { dtype: "no tensor", shape: [] },
      ]),
    );
  }

  /**
   * The outputs by name. Tensors that the graph does not take are left out.
   *
   * @throws InputError A tensor is missing or does not fit.
   * @throws Error ONNX Runtime raises.
   */
  async run(tensors: ReadonlyMap<string, Tensor>): Promise<Map<string, Tensor>> {
    const feeds: Record<string, OrtTensor> = Object.create(null);
    for (const [name, declared] of this.inputs) {
      const tensor = fitting(name, declared, tensors.get(name));
      feeds[name] = new this.ort.Tensor(tensor.dtype, tensor.data as never, tensor.shape);
    }
    const results = await this.session.run(feeds, QUIET);
    return new Map(this.session.outputNames.map((name) => [name, fromOrt(name, results[name]!)]));
  }

  close(): Promise<void> {
    return this.session.release();
  }
}

/**
 * Open a model on an execution provider. That every node runs there is asked for first: ONNX Runtime would rather run
 * nodes on the CPU than say so.
 *
 * @throws Error ONNX Runtime does not open it there at all.
 */
export async function openSession(ort: OnnxRuntime, model: Model, provider: string, cpu: string): Promise<Session> {
  // To hand a part of one step to another thread takes longer than to compute it.
  const options: InferenceSession.SessionOptions = { executionProviders: [provider], intraOpNumThreads: 1, ...QUIET };
  if (provider === cpu) return new Session(ort, await create(ort, model, options), true);
  try {
    const strictly = { ...options, extra: { session: { disable_cpu_ep_fallback: "1" } } };
    return new Session(ort, await create(ort, model, strictly), true);
  } catch {
    return new Session(ort, await create(ort, model, options), false);
  }
}

function create(ort: OnnxRuntime, model: Model, options: InferenceSession.SessionOptions): Promise<InferenceSession> {
  if (typeof model === "string") return ort.InferenceSession.create(model, options);
  const externalData = [...model.beside].map(([path, data]) => ({ path, data }));
  return ort.InferenceSession.create(model.bytes, { ...options, externalData });
}

function fitting(name: string, declared: Declared, tensor: Tensor | undefined): Tensor {
  const wanted = describe(declared.dtype, declared.shape);
  if (!tensor) throw new InputError(`Input '${name}' is missing; the model takes ${wanted}.`);
  const { dtype, shape } = tensor;
  // Of an input whose rank the graph leaves open, ONNX Runtime tells a shape of no dimensions.
  const fits =
    declared.shape.length === 0 ||
    (shape.length === declared.shape.length &&
      declared.shape.every((dim, axis) => typeof dim !== "number" || dim === shape[axis]));
  // ONNX Runtime's recurrent kernels end the process for some of these.
  if (shape.includes(0)) throw new InputError(`Input '${name}' is ${describe(dtype, shape)}, and a size of 0 is not run.`);
  if (dtype === declared.dtype && fits) return tensor;
  throw new InputError(`Input '${name}' is ${describe(dtype, shape)}, and the model takes ${wanted}.`);
}

function fromOrt(name: string, { type, dims, data }: OrtTensor): Tensor {
  if (!isDtype(type)) throw new Error(`output '${name}' is ${type}, which no bundle has`);
  // Where JavaScript has Float16Array, ONNX Runtime gives that.
  const held = type === "float16" ? new Uint16Array(...viewOf(data as Uint16Array)) : (data as Data);
  return { dtype: type, shape: [...dims], data: held };
}

function viewOf({ buffer, byteOffset, length }: Uint16Array): [ArrayBuffer, number, number] {
  return [buffer as ArrayBuffer, byteOffset, length];
}

/** Why a model cannot be opened on a provider, in one sentence. */
export function notOpened(file: string, runtime: string, provider: string, error: unknown): InputError {
  return new InputError(
    `${file} cannot be opened in ${runtime} on ${provider}: ${firstLine(error).replace(/\.$/, "")}.`,
  );
}
