/** JSON in a bundle's files, checked against a schema. */

import type * as z from "zod/mini";
import type { InputError } from "./errors.js";

/**
 * What a file holds, as the schema's output.
 *
 * @param bad The error for a reason such as `inputs is not of type object`.
 * @throws InputError It is not JSON in UTF-8, or does not match the schema.
 */
export function readJson<T>(bytes: Uint8Array, schema: z.ZodMiniType<T>, bad: (reason: string) => InputError): T {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    throw bad("it is not JSON");
  }
  const { data, error } = schema.safeParse(value, { error: mismatch });
  if (!error) return data;
  const { path, message } = error.issues[0]!;
  throw bad(`${path.join(".") || "it"} ${message}`);
}

function mismatch(issue: z.core.$ZodRawIssue): string {
  if (issue.code !== "invalid_type") return "is not valid";
  return `is not of type ${issue.expected === "record" ? "object" : issue.expected}`;
}
