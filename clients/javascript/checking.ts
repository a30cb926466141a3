/** The stored cases of a bundle: what they hold, and judging what a runtime makes of one. */

import { Bundle, CASES } from "./bundle.js";
import { Expected, OutputResult, judge, share } from "./compare.js";
import { InputError, firstLine } from "./errors.js";
import type { StoredCase } from "./manifest.js";
import { seen } from "./stream.js";
import { Tensor, describe, isFloating, numbers } from "./tensor.js";

type Tensors = ReadonlyMap<string, Tensor>;

/** A stored case with its inputs and what its outputs should be. */
export interface Case {
  readonly name: string;
  readonly inputs: Tensors;
  readonly outputs: ReadonlyMap<string, Expected>;
  /** Whether the bound of int8 weights does not hold for it; an error beyond it is shown and not judged. */
  readonly unbounded: boolean;
}

/** EXPECTED: right, but for what int8 weights make of saturating values. */
export type Verdict = "PASS" | "FAIL" | "EXPECTED";

/** A case, run. `error` and `limit` are those of the output whose error is largest in units of its limit. */
export interface CaseResult {
  readonly name: string;
  readonly verdict: Verdict;
  readonly error: number;
  readonly limit: number;
  readonly reason: string;
  readonly milliseconds: number;
}

/**
 * All stored cases.
 *
 * @throws InputError There is none, the file was changed, or it does not hold what the manifest says, or no limits.
 */
export async function readCases(bundle: Bundle): Promise<Case[]> {
  const tensors = await bundle.readTensors();
  if (bundle.manifest.cases.length === 0)
    throw new InputError(`${bundle.source.name} holds no cases. Nothing can be checked.`);
  return bundle.manifest.cases.map((stored) => readCase(bundle, stored, tensors));
}

function readCase({ source, manifest, artifact, file }: Bundle, stored: StoredCase, tensors: Tensors): Case {
  const bad = (reason: string) => new InputError(`${source.name}/${CASES} ${reason}. Export the model again.`);
  const part = (kind: string, name: string): Tensor => {
    const found = tensors.get(`${stored.name}/${kind}/${name}`);
    if (found) return found;
    throw bad(`does not hold ${stored.name}/${kind}/${name}`);
  };
  /** A number for each element of an output. */
  const byElement = (kind: string, name: string, { shape }: Tensor): Tensor => {
    const found = part(kind, name);
    if (found.dtype === "float64" && found.shape.join() === shape.join()) return found;
    const is = `${describe(found.dtype, found.shape)} instead of ${describe("float64", shape)}`;
    throw bad(`has ${stored.name}/${kind}/${name} as ${is}`);
  };
  const expected = (name: string): Expected => {
    const eager = part("outputs", name);
    const ours = (whole: Tensor) => (artifact.stream ? seen(manifest, artifact.stream, name, whole) : whole);
    if (!isFloating(eager.dtype)) return { eager: ours(eager), exact: null, limits: null };
    const exact = tensors.has(`${stored.name}/reference/${name}`) ? byElement("reference", name, eager) : null;
    const limits = byElement(`limits/${file}`, name, eager);
    const wrong = numbers(limits).find((limit) => !(limit >= 0));
    if (wrong !== undefined) throw bad(`has a limit of ${wrong} in ${stored.name}/limits/${file}/${name}`);
    return { eager: ours(eager), exact: exact && ours(exact), limits: ours(limits) };
  };
  return {
    name: stored.name,
    inputs: new Map([...manifest.inputs.keys()].map((name) => [name, part("inputs", name)])),
    outputs: new Map([...manifest.outputs.keys()].map((name) => [name, expected(name)])),
    unbounded: artifact.precision?.weights === "int8" && stored.values === "saturating",
  };
}

/** Run a case and judge every output; what the runtime raises is a failure of the case. */
export async function checkCase(item: Case, run: (inputs: Tensors) => Promise<Tensors>): Promise<CaseResult> {
  const began = performance.now();
  let got: Tensors;
  try {
    got = await run(item.inputs);
  } catch (error) {
    const reason = `the runtime raised: ${firstLine(error)}`;
    return { name: item.name, verdict: "FAIL", error: Infinity, limit: 0, reason, milliseconds: NaN };
  }
  const milliseconds = performance.now() - began;
  const results = [...item.outputs].map(([name, expected]) => judge(name, got.get(name), expected));
  return { name: item.name, milliseconds, ...verdict(results, item.unbounded) };
}

function verdict(
  results: readonly OutputResult[],
  unbounded: boolean,
): Pick<CaseResult, "verdict" | "error" | "limit" | "reason"> {
  const { error, limit } = results.reduce((worst, each) => (share(each) > share(worst) ? each : worst));
  const failed = results.filter(({ reason }) => reason);
  const wrong = failed.find(({ valuesOff }) => !unbounded || !valuesOff);
  const shown = wrong ?? failed[0];
  return {
    verdict: wrong ? "FAIL" : shown ? "EXPECTED" : "PASS",
    error,
    limit,
    reason: shown ? `${shown.output} ${shown.reason}` : "",
  };
}
