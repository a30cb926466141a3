/** Running the model on one's own input: fields for sizes and values, and what comes out. */

import type { Bundle } from "../../javascript/bundle.js";
import { InputError, firstLine } from "../../javascript/errors.js";
import type { Input } from "../../javascript/manifest.js";
import { Tensor, describe, numbers, product } from "../../javascript/tensor.js";
import { copyButton, make, section } from "../dom.js";
import { evaluate, namesIn } from "../expression.js";
import { BACKENDS, Backend, openModel } from "../runtime.js";
import { announce } from "../status.js";
import { duration } from "../times.js";
import { inTurn } from "../turns.js";
import { drawValues, readValues, spellNumber, spellValues } from "../values.js";

/** Beyond so many numbers a field or an output is not shown whole. */
const MOST = 2000;

export function trying(bundle: Bundle): HTMLElement {
  const inputs = [...bundle.manifest.inputs];
  const sizes = new Map(symbols(inputs).map((symbol) => [symbol, sizeField(symbol, firstSize(bundle, symbol))]));
  const values = new Map(inputs.map(([name, input]) => [name, new ValuesField(name, input)]));
  const backend = make("select", { id: "on" }, ...BACKENDS.map(({ title }) => make("option", {}, title)));
  const button = make("button", { type: "submit" }, "Run it");
  const form = make(
    "form",
    { id: "try-form" },
    ...[...sizes].map(([symbol, field]) => make("label", {}, `${symbol} `, field)),
    make("label", {}, "On ", backend),
    ...[...values.values()].map(({ element }) => element),
    button,
  );
  const said = make("p", { id: "tried" });
  const outputs = make("div", { id: "outputs" });

  const readSizes = () => new Map([...sizes].map(([symbol, field]) => [symbol, Number(field.value)]));
  const reshape = (): void => values.forEach((field) => field.reshape(readSizes()));
  const run = async (): Promise<void> => {
    if (!form.isConnected) return;
    outputs.replaceChildren();
    said.textContent = "Running …";
    announce("Running.");
    try {
      const given = new Map([...values].map(([name, field]) => [name, field.read(readSizes())]));
      const [found, sentence] = await runOnce(bundle, BACKENDS[backend.selectedIndex]!, given);
      said.textContent = sentence;
      outputs.replaceChildren(...[...found].map(([name, tensor]) => output(name, tensor)));
    } catch (error) {
      said.textContent = error instanceof InputError ? error.message : `It stopped: ${firstLine(error)}.`;
    }
    announce(said.textContent);
    button.disabled = false;
    if (document.activeElement === document.body) button.focus();
  };
  sizes.forEach((field) => field.addEventListener("input", reshape));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    button.disabled = true;
    inTurn(run);
  });
  reshape();
  const note = "Numbers row by row, with spaces, commas or brackets between them. An empty field is filled at random.";
  return section("trying", "Your own input", make("p", {}, note), form, said, outputs);
}

function symbols(inputs: readonly (readonly [string, Input])[]): string[] {
  const dims = inputs.flatMap(([, { shape }]) => shape).filter((dim) => typeof dim === "string");
  return [...new Set(dims.flatMap(namesIn))];
}

/** That of a case, which the model takes; of batches the smallest, so that there is little to type. */
function firstSize({ manifest }: Bundle, symbol: string): number {
  const found = manifest.cases.flatMap(({ sizes }) => sizes?.[symbol] ?? []);
  return (symbol === "N" ? Math.min(...found) : found[0]) || 5;
}

function sizeField(symbol: string, size: number): HTMLInputElement {
  const value = String(Number.isFinite(size) ? size : 1);
  return make("input", { type: "number", min: "1", max: "100000", step: "1", value, required: "", "data-size": symbol });
}

/** The field of one input; what the page has filled in gives way to other sizes, what was typed stays. */
class ValuesField {
  readonly element: HTMLElement;
  private readonly text = make("textarea", { rows: "3", spellcheck: "false", autocomplete: "off" });
  private readonly type = make("code");
  private isTyped = false;

  constructor(
    private readonly name: string,
    private readonly input: Input,
  ) {
    this.element = make("label", { class: "values" }, make("span", {}, `${name} `, this.type), this.text);
    this.text.addEventListener("input", () => (this.isTyped = this.text.value.trim() !== ""));
  }

  reshape(sizes: ReadonlyMap<string, number>): void {
    const shape = this.shape(sizes);
    this.type.textContent = describe(this.input.dtype, shape);
    const count = product(shape);
    this.text.placeholder = `${count.toLocaleString("en")} number${count === 1 ? "" : "s"}`;
    if (!this.isTyped) this.text.value = "";
  }

  /** @throws InputError What was typed does not fit. */
  read(sizes: ReadonlyMap<string, number>): Tensor {
    const shape = this.shape(sizes);
    if (shape.some((size) => size < 1)) {
      throw new InputError(`${this.name} would be ${describe(this.input.dtype, shape)}. Give larger sizes.`);
    }
    if (this.text.value.trim()) return readValues(this.name, this.input, shape, this.text.value, sizes);
    const drawn = drawValues(this.input, shape, sizes);
    if (drawn.data.length > MOST) return drawn;
    this.text.value = spellValues(drawn);
    // What is shown is what is run.
    return readValues(this.name, this.input, shape, this.text.value, sizes);
  }

  private shape(sizes: ReadonlyMap<string, number>): number[] {
    return this.input.shape.map((dim) => (typeof dim === "string" ? evaluate(dim, sizes) : dim));
  }
}

async function runOnce(
  bundle: Bundle,
  backend: Backend,
  given: ReadonlyMap<string, Tensor>,
): Promise<[Map<string, Tensor>, string]> {
  const device = await backend.device();
  const [model, runtime] = await openModel(bundle, backend);
  try {
    // The first run prepares the device.
    await model.run(given);
    const began = performance.now();
    const found = await model.run(given);
    return [found, `${runtime} on ${device}: ${duration(performance.now() - began)}.`];
  } finally {
    await model.close();
  }
}

function output(name: string, tensor: Tensor): HTMLElement {
  const values = numbers(tensor);
  const row = tensor.shape.at(-1) ?? 1;
  const shown = values.length > MOST ? Math.max(1, Math.floor(MOST / row)) * row : values.length;
  const words = [...values.slice(0, shown)].map((value) => spellNumber(value, tensor.dtype));
  const width = Math.max(...words.map((word) => word.length));
  const lines = Array.from({ length: Math.ceil(shown / row) }, (_, i) =>
    words
      .slice(i * row, (i + 1) * row)
      .map((word) => word.padStart(width))
      .join("  "),
  );
  if (shown < values.length) lines.push(`… ${(values.length - shown).toLocaleString("en")} more numbers`);
  const title = make("h3", {}, `${name} `, make("code", {}, describe(tensor.dtype, tensor.shape)));
  const whole = (): string => JSON.stringify([...values].map((value) => (Number.isFinite(value) ? value : String(value))));
  return make(
    "article",
    { class: "output" },
    make("div", { class: "titled" }, title, copyButton(`Copy ${name}`, whole)),
    make("pre", { tabindex: "0", role: "region", "aria-label": `Values of ${name}` }, lines.join("\n")),
  );
}
