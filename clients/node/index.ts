/** Running an exported bundle in Node: `const model = await openBundle("artifacts/gru")`. */

import { join } from "node:path";
import { Bundle } from "../javascript/bundle.js";
import { Model } from "../javascript/model.js";
import { folder } from "./folder.js";
import { CPU, openFile } from "./runtime.js";

export { Bundle } from "../javascript/bundle.js";
export type { CaseResult, Verdict } from "../javascript/checking.js";
export { InputError } from "../javascript/errors.js";
export type { Artifact, Input, Manifest, Spec, State, StreamSpec } from "../javascript/manifest.js";
export { Model } from "../javascript/model.js";
export { readTensors, writeTensors } from "../javascript/safetensors.js";
export type { PipelineSpec } from "../javascript/pipeline.js";
export { Stream } from "../javascript/stream.js";
export { Pipeline, openPipeline } from "./pipeline.js";
export { type Dtype, type Tensor, fromNumbers, numbers } from "../javascript/tensor.js";

/**
 * Open a bundle's ONNX model.
 *
 * @param path The bundle's folder.
 * @param provider An execution provider: `cpu`, `webgpu`, `cuda`.
 * @throws InputError It is no bundle, a file of it was changed, or the model does not open on the provider.
 */
export async function openBundle(path: string, provider: string = CPU): Promise<Model> {
  const bundle = await Bundle.read(folder(path));
  return new Model(bundle, await openFile(join(path, bundle.file), provider));
}
