/** What is in a bundle: its signature, and how it was proved. */

import type { Bundle } from "../../javascript/bundle.js";
import type { Artifact, Input, Spec, State } from "../../javascript/manifest.js";
import { describe } from "../../javascript/tensor.js";
import { make, section, table } from "../dom.js";

export function description(bundle: Bundle): HTMLElement {
  const { manifest, artifact } = bundle;
  const inputs = [...manifest.inputs].map(([name, input]) => [name, "input", spell(input), values(input)]);
  const outputs = [...manifest.outputs].map(([name, output]) => [name, "output", spell(output), ""]);
  const parts = [
    table("Signature", ["Name", "Kind", "Type", "Values"], [...inputs, ...outputs]),
    ...(artifact.stream ? [states(artifact.stream.states)] : []),
    facts([...proof(artifact), ...origin(artifact), versions(manifest.versions)]),
  ];
  return section("bundle", manifest.name, ...parts);
}

function states(specs: ReadonlyMap<string, State>): HTMLElement {
  const rows = [...specs].map(([name, state]) => [name, state.output, spell(state), reset(state)]);
  return table("States", ["Before a chunk", "After it", "Type", "At first"], rows);
}

function proof({ parity, precision }: Artifact): string[][] {
  if (!parity) return [["Proved", "not when it was exported"]];
  const largest = parity.largest_error_over_limit;
  const share = largest === null ? "" : `; the largest error was ${(100 * largest).toFixed(0)}% of its limit`;
  const verdict = `${parity.passed ? "PASS" : "FAIL"}, ${parity.cases.length} cases in ${parity.runtime}${share}`;
  const standard = parity.reference === "float64" ? "PyTorch's own error against float64" : "a fixed tolerance";
  const smaller = precision ? [["Weights", cost(precision)]] : [];
  return [["Proved", verdict], ["Limits", standard], ...smaller];
}

function cost({ weights, bound }: NonNullable<Artifact["precision"]>): string {
  return `${weights}, which may cost ${bound} of an output's scale`;
}

function origin({ made_by, opset }: Artifact): string[][] {
  return [["Exported by", opset === null ? made_by : `${made_by}, ONNX opset ${opset}`]];
}

function versions(found: ReadonlyMap<string, string>): string[] {
  return ["Versions", [...found].map(([name, version]) => `${name} ${version}`).join(", ")];
}

function facts(rows: readonly (readonly string[])[]): HTMLElement {
  const pairs = rows.map(([term = "", value = ""]) => make("div", {}, make("dt", {}, term), make("dd", {}, value)));
  return make("dl", {}, ...pairs);
}

function spell({ dtype, shape }: Spec): string {
  return describe(dtype, shape);
}

function values({ range, floats }: Input): string {
  if (!floats) return range ? range.join(" to ") : "any";
  const { low, high, above, below, one_of } = floats;
  if (one_of.length) return one_of.join(", ");
  const ends = [low !== null && `${above ? ">" : ">="} ${low}`, high !== null && `${below ? "<" : "<="} ${high}`];
  return ends.filter(Boolean).join(", ");
}

function reset({ reset: values }: State): string {
  return values.length === 1 ? String(values[0]) : `${values.length} learned numbers`;
}
