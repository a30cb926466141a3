/** ONNX Runtime runs one model at a time: what begins while another thing runs waits for it. */

let last = Promise.resolve();

/** Run something that throws nothing, when all that was given before has ended. */
export function inTurn(run: () => Promise<void>): void {
  last = last.then(run);
}
