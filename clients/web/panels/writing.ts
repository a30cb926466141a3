/** Writing text with a model of characters, as fast as the browser gets them. */

import type { Bundle } from "../../javascript/bundle.js";
import { InputError, firstLine } from "../../javascript/errors.js";
import { write } from "../../javascript/writing.js";
import { make, section } from "../dom.js";
import { BACKENDS, openModel } from "../runtime.js";
import { announce } from "../status.js";
import { inTurn } from "../turns.js";

/** A model of one step is too small for a GPU to be faster. */
const BACKEND = BACKENDS[0]!;
/** So long may pass until what was written is shown, in milliseconds. */
const FRAME = 16;

interface Request {
  readonly prompt: string;
  readonly temperature: number;
  readonly length: number;
}

/** Nothing for a bundle without a vocabulary. */
export function writing(bundle: Bundle): HTMLElement | null {
  if (!bundle.hasVocabulary) return null;
  const prompt = make("input", { id: "prompt", value: "The ", required: "", autocomplete: "off", spellcheck: "false" });
  const temperature = make("input", { type: "range", min: "0", max: "1.5", step: "0.05", value: "0.5" });
  // No `output`: a screen reader would say its value twice, for the slider tells it too.
  const shown = make("span", { id: "temperature", "aria-hidden": "true" });
  const length = make("input", { type: "number", min: "1", max: "100000", step: "1", value: "500", required: "" });
  const begin = make("button", { type: "submit" }, "Write");
  const stop = make("button", { type: "button", disabled: "" }, "Stop");
  const form = make(
    "form",
    { id: "write-form" },
    make("label", { class: "wide" }, "Prompt ", prompt),
    make("label", { class: "wide" }, "Temperature ", temperature, " ", shown),
    make("label", {}, "Characters ", length),
    begin,
    stop,
  );
  const rate = make("p", { id: "rate" });
  const text = make("div", { id: "written", role: "region", "aria-label": "What was written", tabindex: "0" });
  let stopped = false;

  const show = (): void => {
    const value = temperature.value === "0" ? "0, the likeliest" : Number(temperature.value).toFixed(2);
    shown.textContent = value;
    temperature.setAttribute("aria-valuetext", value);
  };
  const run = async (request: Request): Promise<void> => {
    // Another bundle may be open by now.
    if (!text.isConnected) return;
    text.setAttribute("aria-busy", "true");
    announce("Writing.");
    rate.textContent = "Loading …";
    try {
      const written = await writeOut(bundle, request, text, rate, () => stopped || !text.isConnected);
      if (text.isConnected) announce(`Wrote ${written} characters.`);
    } catch (error) {
      rate.textContent = error instanceof InputError ? error.message : `It stopped: ${firstLine(error)}.`;
      announce(rate.textContent);
    }
    text.removeAttribute("aria-busy");
    const wasThere = document.activeElement === stop;
    [begin.disabled, stop.disabled] = [false, true];
    if (wasThere) begin.focus();
  };

  temperature.addEventListener("input", show);
  stop.addEventListener("click", () => (stopped = true));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const wasThere = document.activeElement === begin;
    [stopped, begin.disabled, stop.disabled] = [false, true, false];
    // A button that is disabled loses the focus.
    if (wasThere) stop.focus();
    text.replaceChildren();
    const request = { prompt: prompt.value, temperature: Number(temperature.value), length: Number(length.value) };
    inTurn(() => run(request));
  });
  show();
  const note = `Runs on ${BACKEND.title}, one step for each character; the states go on from step to step.`;
  return section("writing", "Write", make("p", {}, note), form, rate, text);
}

/** @returns How many characters were written before it was stopped. */
async function writeOut(
  bundle: Bundle,
  { prompt, temperature, length }: Request,
  text: HTMLElement,
  rate: HTMLElement,
  isStopped: () => boolean,
): Promise<number> {
  const vocabulary = await bundle.readVocabulary();
  const [model, runtime] = await openModel(bundle, BACKEND);
  const added = document.createTextNode("");
  text.append(make("b", {}, prompt), added);
  let written = 0;
  try {
    const characters = write(model, vocabulary, prompt, temperature);
    let began = performance.now();
    let painted = began;
    let waiting = "";
    const flush = (): void => {
      const atEnd = text.scrollTop + text.clientHeight >= text.scrollHeight - 1;
      added.appendData(waiting);
      waiting = "";
      if (atEnd) text.scrollTop = text.scrollHeight;
      // The first character waits for the whole prompt, and is not counted.
      const speed = (1000 * (written - 1)) / (performance.now() - began);
      rate.textContent = `${written} characters${written > 1 ? `, ${speed.toFixed(0)} a second` : ""}; ${runtime}.`;
    };
    while (written < length && !isStopped()) {
      waiting += (await characters.next()).value;
      written += 1;
      if (written === 1) began = performance.now();
      if (performance.now() - painted < FRAME) continue;
      flush();
      await nextTask();
      painted = performance.now();
    }
    flush();
  } finally {
    await model.close();
  }
  return written;
}

/** Lets the browser show what changed, and hear the stop button. */
function nextTask(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve));
}
