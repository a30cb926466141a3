/** Replaying a bundle's cases on every backend that the browser has. */

import type { Bundle } from "../../javascript/bundle.js";
import { CaseResult, checkCase, readCases } from "../../javascript/checking.js";
import { InputError, firstLine } from "../../javascript/errors.js";
import type { Model } from "../../javascript/model.js";
import { addNote, addRow, make, section, table } from "../dom.js";
import { BACKENDS, Backend, openModel } from "../runtime.js";
import { announce } from "../status.js";
import { Times, duration, whichWasFaster } from "../times.js";
import { inTurn } from "../turns.js";

const COLUMNS = ["Case", "Error", "Limit", "Time", "Verdict"];
const NUMBERS = ["Error", "Limit", "Time"];

export function replay(bundle: Bundle): HTMLElement {
  const button = make("button", { type: "submit" }, "Replay the cases");
  const chunk = make("input", { type: "number", min: "1", step: "1", id: "chunk", placeholder: "all" });
  const field = make("label", {}, "Time steps at once ", chunk);
  const form = make("form", {}, ...(bundle.artifact.stream ? [field] : []), button);
  const results = make("div", { id: "results" });
  const faster = make("p", { id: "faster" });
  const run = async (): Promise<void> => {
    button.disabled = true;
    results.replaceChildren();
    faster.textContent = "";
    const found = new Map<string, Times>();
    for (const backend of BACKENDS) {
      found.set(backend.title, await replayOn(backend, bundle, chunk.value ? Number(chunk.value) : null, results));
    }
    faster.textContent = whichWasFaster(found);
    button.disabled = false;
    // A button that is disabled loses the focus.
    if (document.activeElement === document.body) button.focus();
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    inTurn(run);
  });
  const note = "Each stored case is run twice. The time is that of the second run: the first one prepares the device.";
  return section("replay", "Replay", make("p", {}, note), form, faster, results);
}

async function replayOn(backend: Backend, bundle: Bundle, chunk: number | null, results: HTMLElement): Promise<Times> {
  const times = new Map<string, number>();
  if (!results.isConnected) return times;
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
    const verdict = await fill(card, backend, model, chunk, times);
    await model.close();
    title.append(" ", badge(verdict));
    announce(`${backend.title}: ${verdict}.`);
  } catch (error) {
    where.textContent = error instanceof InputError ? error.message : `It stopped: ${firstLine(error)}.`;
    title.append(" ", badge("NOT RUN"));
    announce(`${backend.title}: not run. ${where.textContent}`);
  }
  card.removeAttribute("aria-busy");
  return times;
}

async function fill(
  card: HTMLElement,
  backend: Backend,
  model: Model,
  chunk: number | null,
  times: Map<string, number>,
): Promise<"PASS" | "FAIL"> {
  const rows = table(`Cases on ${backend.title}`, COLUMNS, [], NUMBERS);
  card.append(rows);
  let verdict: "PASS" | "FAIL" = "PASS";
  for (const item of await readCases(model.bundle)) {
    await checkCase(item, (inputs) => model.run(inputs, chunk));
    const result = await checkCase(item, (inputs) => model.run(inputs, chunk));
    times.set(result.name, result.milliseconds);
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
