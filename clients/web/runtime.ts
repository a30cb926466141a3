/** ONNX Runtime in the browser, loaded when it is first used. */

import type { Bundle } from "../javascript/bundle.js";
import { InputError } from "../javascript/errors.js";
import { Model } from "../javascript/model.js";
import { notOpened, openSession } from "../javascript/session.js";

/** An execution provider of ONNX Runtime; `device` says what it runs on. */
export interface Backend {
  readonly provider: "wasm" | "webgpu";
  readonly title: string;
  /** @throws InputError It is not there. */
  device(): Promise<string>;
}

export const BACKENDS: readonly Backend[] = [
  { provider: "wasm", title: "WebAssembly", device: async () => "the CPU, one thread" },
  { provider: "webgpu", title: "WebGPU", device: adapter },
];

/**
 * The package's files: the one without WebGPU is half as large, and faster. Of the others, `ort.all` and `ort.bundle` have
 * WebGPU too, and run recurrent operators on WebAssembly without a word.
 */
const RUNTIMES = { wasm: () => import("onnxruntime-web/wasm"), webgpu: () => import("onnxruntime-web/webgpu") };

/**
 * @returns The model, and the runtime's name and version.
 * @throws InputError It cannot be opened on the backend.
 */
export async function openModel(bundle: Bundle, { provider }: Backend): Promise<[Model, string]> {
  const ort = await RUNTIMES[provider]();
  const name = `onnxruntime-web ${ort.env.versions.web}`;
  ort.env.logLevel = "fatal";
  // More threads need headers that a plain server does not send.
  ort.env.wasm.numThreads = 1;
  const beside = new Map<string, Uint8Array>();
  if (bundle.weightsFile) beside.set(bundle.weightsFile, await bundle.source.read(bundle.weightsFile));
  const model = { bytes: await bundle.source.read(bundle.file), beside };
  try {
    return [new Model(bundle, await openSession(ort, model, provider, "wasm")), name];
  } catch (error) {
    const file = `${bundle.source.name}/${bundle.file}`;
    const double = provider === "webgpu" && isDouble(bundle);
    throw double ? noDouble(file, name) : notOpened(file, name, provider, error);
  }
}

function isDouble({ manifest: { inputs, outputs } }: Bundle): boolean {
  return [...inputs.values(), ...outputs.values()].some(({ dtype }) => dtype === "float64");
}

/** What ONNX Runtime says of such a model is about one node, or about its own sources. */
function noDouble(file: string, runtime: string): InputError {
  return new InputError(
    `${file} is in float64, for which ${runtime} lacks operators in its build for WebGPU. Run it on WebAssembly, or ` +
      "export the model in float32.",
  );
}

async function adapter(): Promise<string> {
  const found = await navigator.gpu?.requestAdapter();
  if (!found) throw new InputError("This browser has no WebGPU, or no device for it.");
  const { vendor, architecture, description } = found.info;
  return description || `${vendor} ${architecture}`.trim() || "a device without a name";
}
