/** Replaying a bundle's cases on every backend that the browser has. */

import type { Bundle } from "../../javascript/bundle.js";
import { CaseResult, checkCase, readCases } from "../../javascript/checking.js";
import { InputError, firstLine } from "../../javascript/errors.js";
import type { Model } from "../../javascript/model.js";
import { addNote, addRow, make, section, table } from "../dom.js";
import { BACKENDS, Backend, openModel } from "../runtime.js";
import { announce } from "../status.js";
import { inTurn } from "../turns.js";

const COLUMNS = ["Case", "Error", "Limit", "Time", "Verdict"];

export function replay(bundle: Bundle): HTMLElement {
  const button = make("button", { type: "submit" }, "Replay the cases");
  const chunk = make("input", { type: "number", min: "1", step: "1", id: "chunk", placeholder: "all" });
  const field = make("label", {}, "Time steps at once ", chunk);
  const form = make("form", {}, ...(bundle.artifact.stream ? [field] : []), button);
  const results = make("div", { id: "results" });
  const run = async (): Promise<void> => {
    button.disabled = true;
    results.replaceChildren();
    for (const backend of BACKENDS) await replayOn(backend, bundle, chunk.value ? Number(chunk.value) : null, results);
    button.disabled = false;
    // A button that is disabled loses the focus.
    if (document.activeElement === document.body) button.focus();
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    inTurn(run);
  });
  const note = "Each stored case is run twice. The time is that of the second run: the first one prepares the device.";
  return section("replay", "Replay", make("p", {}, note), form, results);
}

async function replayOn(backend: Backend, bundle: Bundle, chunk: number | null, results: HTMLElement): Promise<void> {
  if (!results.isConnected) return;
  announce(`${backend.title}: running.`);
  const title = make("h3", {}, backend.title);
  const where = make("p", {}, "Loading …");
  const card = make("article", { id: backend.provider, "aria-busy": "true" }, title, where);
  results.append(card);
  try {
    const device = await backend.device();
    const began = performance.now();
    const [model, runtime] = await openModel(bundle, backend);
    const opened = performance.now() - began;
    const placement = model.strict ? "strict: every node runs there" : "not strict: some nodes run on the CPU";
    where.textContent = `${runtime} on ${device}, ${placement}. Opened in ${duration(opened)}.`;
    const verdict = await fill(card, backend, model, chunk);
    await model.close();
    title.append(" ", badge(verdict));
    announce(`${backend.title}: ${verdict}.`);
  } catch (error) {
    where.textContent = error instanceof InputError ? error.message : `It stopped: ${firstLine(error)}.`;
    title.append(" ", badge("NOT RUN"));
    announce(`${backend.title}: not run. ${where.textContent}`);
  }
  card.removeAttribute("aria-busy");
}

async function fill(card: HTMLElement, backend: Backend, model: Model, chunk: number | null): Promise<"PASS" | "FAIL"> {
  const rows = table(`Cases on ${backend.title}`, COLUMNS, []);
  card.append(rows);
  let verdict: "PASS" | "FAIL" = "PASS";
  for (const item of await readCases(model.bundle)) {
    await checkCase(item, (inputs) => model.run(inputs, chunk));
    const result = await checkCase(item, (inputs) => model.run(inputs, chunk));
    addRow(rows, cells(result));
    if (result.reason) addNote(rows, COLUMNS.length, result.reason);
    if (result.verdict === "FAIL") verdict = "FAIL";
  }
  return verdict;
}

function cells({ name, error, limit, milliseconds: time, verdict }: CaseResult): (Node | string)[] {
  const measured = Number.isFinite(error) ? [error.toExponential(1), limit.toExponential(1)] : ["none", "none"];
  return [name, ...measured, duration(time), badge(verdict)];
}

function badge(verdict: string): HTMLElement {
  return make("strong", { class: `badge ${verdict === "PASS" ? "pass" : verdict === "FAIL" ? "fail" : ""}` }, verdict);
}

function duration(time: number): string {
  if (Number.isNaN(time)) return "none";
  return time < 10_000 ? `${time.toFixed(time < 100 ? 1 : 0)} ms` : `${(time / 1000).toFixed(1)} s`;
}
