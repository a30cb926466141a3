/** ONNX Runtime in Node. */

import * as ort from "onnxruntime-node";
import { InputError } from "../javascript/errors.js";
import { Session, notOpened, openSession } from "../javascript/session.js";

export const RUNTIME = `onnxruntime-node ${ort.env.versions.node}`;
export const CPU = "cpu";

ort.env.logLevel = "fatal";

/**
 * Open a model file on an execution provider.
 *
 * @throws InputError There is no such provider, or the model does not open on it.
 */
export async function openFile(path: string, provider: string): Promise<Session> {
  const known = ort.listSupportedBackends().map(({ name }) => name);
  if (!known.includes(provider)) {
    throw new InputError(`${RUNTIME} has no provider '${provider}'. Choose from ${known.join(", ")}.`);
  }
  try {
    return await openSession(ort, path, provider, CPU);
  } catch (error) {
    throw notOpened(path, RUNTIME, provider, error);
  }
}
