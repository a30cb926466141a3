/** What a caller gave that is wrong or not there: one or two sentences, without a stack trace for the reader. */
export class InputError extends Error {
  override readonly name = "InputError";
}

/** The first line of whatever was thrown, without the code and the place in its sources that ONNX Runtime begins with. */
export function firstLine(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  const said = (text.split("\n")[0] ?? "").replace(/^.* ERROR_CODE: \d+, ERROR_MESSAGE: /, "");
  return said.replace(/^\/\S+:\d+ .* was false\. /, "").trim();
}
