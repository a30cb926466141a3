/** The page, as a user has it. Bundles lie in the folder that BUNDLES names; `make test-web` writes them. */

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, before, test } from "node:test";
import { gzipSync } from "node:zlib";
import { start } from "../chromium/browser.js";

/** Widths in pixels, and color schemes, that the page must fit. */
const SCREENS = [
  [400, "light"],
  [400, "dark"],
  [1200, "light"],
  [1200, "dark"],
];

const BUNDLES = resolve(process.env.BUNDLES ?? assert.fail("BUNDLES names no folder; run make test-web"));
// ONNX Runtime for WebGPU lacks operators in float64, and WebGPU in software lacks float16.
const RIGHT = readdirSync(BUNDLES).filter((name) => !name.startsWith(".") && !["wrong", "double", "half"].includes(name));
const STRICT = "strict: every node runs there";
const NOT_STRICT = "not strict: some nodes run on the CPU";
const SHOTS = join(import.meta.dirname, "../build");

/** @type {Awaited<ReturnType<typeof start>>} */
let site;
/** @type {string} */
let folder;

before(async () => {
  site = await start();
  folder = mkdtempSync(join(tmpdir(), "bundles-"));
  mkdirSync(SHOTS, { recursive: true });
});
after(async () => {
  await site.close();
  rmSync(folder, { recursive: true });
});

/** A fresh page; anything that it logs as an error or throws fails the test. */
async function open(t, options = {}) {
  const page = await site.browser.newPage(options);
  const errors = [];
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
  await page.goto(site.url);
  t.after(async () => {
    await page.close();
    assert.deepEqual(errors, []);
  });
  return page;
}

async function choose(page, path) {
  await page.setInputFiles("#folder", path);
}

async function replay(page, chunk = "") {
  if (chunk) await page.getByLabel("Time steps at once").fill(chunk);
  await page.getByRole("button", { name: "Replay the cases" }).click();
  await page.locator("#webgpu:not([aria-busy])").waitFor({ timeout: 120_000 });
}

/** What a backend's part of the page says: its verdict, where it ran, its cases, and what is said about these. */
async function results(page, provider) {
  const card = page.locator(`#${provider}`);
  const rows = await card.locator("tbody tr:has(th)").all();
  return {
    verdict: await card.locator("h3 strong").innerText(),
    where: await card.locator("> p").innerText(),
    rows: await Promise.all(rows.map((row) => row.locator("th, td").allInnerTexts())),
    notes: await card.locator("tr.note").allInnerTexts(),
  };
}

function cases(path) {
  return JSON.parse(readFileSync(join(path, "manifest.json"), "utf8")).cases.map(({ name }) => name);
}

/** A copy of a bundle, to be spoiled. */
function copy(name, as) {
  const path = join(folder, as);
  cpSync(join(BUNDLES, name), path, { recursive: true });
  return path;
}

async function passes(page, path) {
  for (const provider of ["wasm", "webgpu"]) {
    const { verdict, rows } = await results(page, provider);
    assert.equal(verdict, "PASS", provider);
    assert.deepEqual(
      rows.map(([name]) => name),
      cases(path),
    );
    for (const [, error, limit, time, judged] of rows) {
      assert.match(error, /^\d\.\de[+-]\d+$/);
      assert.match(time, /^[\d.]+ ms$/);
      assert.ok(judged === "PASS" ? Number(error) <= Number(limit) : judged === "EXPECTED");
    }
  }
}

test("the example is opened, described and replayed", async (t) => {
  const page = await open(t);
  await page.getByRole("button", { name: "Open the example" }).click();
  const description = page.getByRole("region", { name: "hetero", exact: true });
  await description.waitFor();
  const text = await description.innerText();
  for (const part of [
    "float32[T, N, ",
    "logits",
    "PASS, 20 cases in onnxruntime:cpu",
    "PyTorch's own error against float64",
  ]) {
    assert.ok(text.includes(part), part);
  }
  await replay(page);
  await passes(page, join(import.meta.dirname, "../public/example"));
  assert.match(
    (await results(page, "wasm")).where,
    /^onnxruntime-web \S+ on the CPU, one thread, strict: every node runs there\./,
  );
  assert.ok((await results(page, "webgpu")).where.includes(NOT_STRICT));
  assert.match(
    await page.locator("#sizes").innerText(),
    /^This page's own code is \d+ kB; ONNX Runtime's, .* \d+\.\d MB for WebAssembly and \d+\.\d MB for WebGPU\.$/,
  );
});

test("the README has the sizes of what is built", () => {
  const dist = join(import.meta.dirname, "../dist");
  const files = readdirSync(dist, { recursive: true }).filter((file) => !file.startsWith("example"));
  const built = files.filter((file) => statSync(join(dist, file)).isFile());
  const readme = readFileSync(join(import.meta.dirname, "../README.md"), "utf8");
  const rows = [...readme.matchAll(/^\| (.+) \| ([\d.]+) ([kM])B \| ([\d.]+) ([kM])B \|$/gm)];
  assert.equal(rows.length, 5);
  for (const [, what, whole, wholeUnit, compressed, compressedUnit] of rows) {
    const [, runtime] = /^`(ort.+)\.\w+`$/.exec(what) ?? [];
    const own = built.filter((file) => (runtime ? file.startsWith(`assets/${runtime}-`) : !file.startsWith("assets/ort")));
    const contents = own.map((file) => readFileSync(join(dist, file)));
    for (const [said, unit, bytes] of [
      [whole, wholeUnit, sum(contents)],
      [compressed, compressedUnit, sum(contents.map((content) => gzipSync(content)))],
    ]) {
      const stated = Number(said) * { k: 1e3, M: 1e6 }[unit];
      assert.ok(Math.abs(bytes - stated) < 0.05 * stated, `${what}: ${said} ${unit}B in the README, ${bytes} bytes`);
    }
  }
});

function sum(buffers) {
  return buffers.reduce((total, { length }) => total + length, 0);
}

for (const name of RIGHT) {
  test(`${name} passes on both backends`, async (t) => {
    const page = await open(t);
    await choose(page, join(BUNDLES, name));
    await page.locator("#replay").waitFor();
    await replay(page);
    await passes(page, join(BUNDLES, name));
    const { where } = await results(page, "webgpu");
    assert.match(where, /swiftshader/i);
    if (name === "lstm") assert.ok(where.includes(STRICT), where);
  });
}

for (const name of RIGHT.filter((each) => each.endsWith("_stateful"))) {
  test(`${name} passes one step at a time`, async (t) => {
    const page = await open(t);
    await choose(page, join(BUNDLES, name));
    await page.getByRole("region", { name: "States" }).waitFor();
    await replay(page, "1");
    await passes(page, join(BUNDLES, name));
  });
}

/** Fills the form; `Write` is still to be pressed. */
async function fill(page, { prompt, temperature, length }) {
  await page.getByLabel("Prompt").fill(prompt);
  await page.getByLabel("Temperature").fill(String(temperature));
  await page.getByLabel("Characters").fill(String(length));
}

function written(page) {
  return page.getByRole("region", { name: "What was written" }).evaluate((text) => text.textContent);
}

async function untilWritten(page) {
  await page.getByRole("status").filter({ hasText: /^Wrote / }).waitFor({ timeout: 60_000 });
}

async function openWriter(page) {
  await choose(page, join(BUNDLES, "characters_stateful"));
  await page.locator("#writing").waitFor();
}

test("greedy text is that of PyTorch", async (t) => {
  const page = await open(t);
  await openWriter(page);
  const greedy = JSON.parse(readFileSync(join(BUNDLES, "characters_stateful/greedy.json"), "utf8"));
  await fill(page, { prompt: greedy.prompt, temperature: 0, length: 200 });
  assert.equal(await page.locator("#temperature").innerText(), "0, the likeliest");
  await page.getByRole("button", { name: "Write" }).click();
  await untilWritten(page);
  assert.equal(await written(page), greedy.prompt + greedy.written);
  assert.equal(await page.getByRole("status").innerText(), "Wrote 200 characters.");
  assert.match(await page.locator("#rate").innerText(), /^200 characters, \d+ a second; onnxruntime-web \S+\.$/);
});

test("a temperature draws other characters", async (t) => {
  const page = await open(t);
  await openWriter(page);
  await fill(page, { prompt: "A", temperature: 1.5, length: 300 });
  const texts = [];
  for (let i = 0; i < 2; i++) {
    await page.getByRole("button", { name: "Write" }).click();
    await untilWritten(page);
    texts.push(await written(page));
  }
  assert.equal([...texts[0]].length, 301);
  assert.notEqual(texts[0], texts[1]);
});

test("writing is begun and stopped by keyboard", async (t) => {
  const page = await open(t);
  await openWriter(page);
  const focused = () => page.evaluate(() => document.activeElement?.textContent?.trim());
  await fill(page, { prompt: "A", temperature: 0.5, length: 100_000 });
  await page.getByLabel("Temperature").focus();
  await page.keyboard.press("Home");
  assert.equal(await page.locator("#temperature").innerText(), "0, the likeliest");
  await page.keyboard.press("ArrowRight");
  assert.equal(await page.locator("#temperature").innerText(), "0.05");
  for (const name of ["Characters", "Write"]) {
    await page.keyboard.press("Tab");
    if (name === "Write") assert.equal(await focused(), name);
  }
  await page.keyboard.press("Enter");
  assert.equal(await focused(), "Stop");
  await page.locator("#rate", { hasText: "a second" }).waitFor();
  await page.keyboard.press("Enter");
  await untilWritten(page);
  assert.equal(await focused(), "Write");
  const count = [...(await written(page))].length - 1;
  assert.ok(count > 0 && count < 100_000, String(count));
  assert.equal(await page.getByRole("status").innerText(), `Wrote ${count} characters.`);
});

test("a bundle that is opened during writing ends it", async (t) => {
  const page = await open(t);
  await openWriter(page);
  await fill(page, { prompt: "A", temperature: 0, length: 100_000 });
  await page.getByRole("button", { name: "Write" }).click();
  await page.locator("#rate", { hasText: "a second" }).waitFor();
  await choose(page, join(BUNDLES, "lstm"));
  await page.getByRole("heading", { name: "single" }).waitFor();
  assert.equal(await page.locator("#writing").count(), 0);
  await replay(page);
  await passes(page, join(BUNDLES, "lstm"));
});

test("a prompt with an unknown character is one sentence, and another prompt is written", async (t) => {
  const page = await open(t);
  await openWriter(page);
  await fill(page, { prompt: "A#", temperature: 0, length: 5 });
  await page.getByRole("button", { name: "Write" }).click();
  const sentence = 'The model does not know the character "#". Leave it out.';
  await page.getByRole("status").filter({ hasText: sentence }).waitFor();
  assert.equal(await page.locator("#rate").innerText(), sentence);
  await fill(page, { prompt: "A", temperature: 0, length: 5 });
  await page.getByRole("button", { name: "Write" }).click();
  await untilWritten(page);
  assert.equal([...(await written(page))].length, 6);
});

test("a changed vocabulary is one sentence", async (t) => {
  const path = copy("characters_stateful", "vocabulary");
  writeFileSync(join(path, "vocabulary.json"), "{}");
  const page = await open(t);
  await choose(page, path);
  await page.getByRole("button", { name: "Write" }).click();
  await page
    .getByRole("status")
    .filter({ hasText: /^vocabulary\/vocabulary\.json was changed after it was written\./ })
    .waitFor();
});

test("what a screen reader is told of writing", async (t) => {
  const page = await open(t);
  await openWriter(page);
  const told = await page.locator("#writing").ariaSnapshot();
  for (const part of [
    'region "Write"',
    'textbox "Prompt"',
    'slider "Temperature"',
    'spinbutton "Characters"',
    'button "Write"',
    'button "Stop" [disabled]',
    'region "What was written"',
  ]) {
    assert.ok(told.includes(part), `${part}\n${told}`);
  }
});

for (const [width, colorScheme] of SCREENS) {
  test(`writing fits ${width} pixels and is ${colorScheme}`, async (t) => {
    const page = await open(t, { viewport: { width, height: 900 }, colorScheme });
    await openWriter(page);
    await fill(page, { prompt: "A recurrent model", temperature: 0.5, length: 900 });
    await page.getByRole("button", { name: "Write" }).click();
    await untilWritten(page);
    await page.locator("#writing").screenshot({ path: join(SHOTS, `writing-${width}-${colorScheme}.png`) });
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), width);
  });
}

test("numbers are aligned to the right, and it is said which backend was faster", async (t) => {
  const page = await open(t);
  await choose(page, join(BUNDLES, "lstm"));
  await page.locator("#replay").waitFor();
  await replay(page);
  const row = page.locator("#wasm tbody tr").first().locator("th, td");
  const aligned = await row.evaluateAll((cells) => cells.map((cell) => getComputedStyle(cell).textAlign));
  assert.deepEqual(aligned, ["left", "right", "right", "right", "left"]);
  assert.match(
    await page.locator("#faster").innerText(),
    /^(Web\w+ was [\d.,]+ times as fast as Web\w+, in|WebAssembly and WebGPU were equally fast, in|The cases are too short)/,
  );
});

/** The tensors of a safetensors file whose names begin so, as their shapes and numbers. */
function stored(path, prefix) {
  const bytes = readFileSync(path);
  const length = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.subarray(8, 8 + length).toString());
  const found = Object.entries(header).filter(([name]) => name.startsWith(prefix));
  return Object.fromEntries(
    found.map(([name, { dtype, shape, data_offsets: [from, to] }]) => {
      assert.equal(dtype, "F32");
      const data = bytes.subarray(8 + length + from, 8 + length + to);
      const values = Array.from({ length: data.length / 4 }, (_, i) => data.readFloatLE(4 * i));
      return [name.slice(prefix.length), { shape, values }];
    }),
  );
}

async function openTrying(page, name) {
  await choose(page, join(BUNDLES, name));
  await page.locator("#trying").waitFor();
}

async function runIt(page) {
  await page.getByRole("button", { name: "Run it" }).click();
  await page.waitForFunction(() => !/^$|^Running/.test(document.getElementById("tried").textContent));
  return page.locator("#tried").innerText();
}

for (const backend of ["WebAssembly", "WebGPU"]) {
  test(`one's own input is run on ${backend}`, async (t) => {
    const page = await open(t);
    await openTrying(page, "lstm");
    const [name] = cases(join(BUNDLES, "lstm"));
    const inputs = stored(join(BUNDLES, "lstm/cases.safetensors"), `${name}/inputs/`);
    const outputs = stored(join(BUNDLES, "lstm/cases.safetensors"), `${name}/outputs/`);
    const { shape, values } = inputs.x;
    await page.getByLabel("T", { exact: true }).fill(String(shape[0]));
    await page.getByLabel("N", { exact: true }).fill(String(shape[1]));
    await page.locator("#on").selectOption(backend);
    assert.equal(await page.locator("label.values code").first().innerText(), `float32[${shape.join(", ")}]`);
    for (const [input, given] of Object.entries(inputs)) {
      await page.locator("label.values", { hasText: input }).locator("textarea").fill(`[${given.values.join(", ")}]`);
    }
    assert.match(await runIt(page), /^onnxruntime-web \S+ on .+: [\d.]+ ms\.$/);
    for (const [output, { shape, values }] of Object.entries(outputs)) {
      const title = page.locator("#outputs h3", { hasText: output });
      assert.equal(await title.innerText(), `${output} float32[${shape.join(", ")}]`);
      const shown = await page.getByRole("region", { name: `Values of ${output}` }).innerText();
      const got = shown.trim().split(/\s+/).map(Number);
      assert.equal(got.length, values.length);
      got.forEach((value, i) => assert.ok(Math.abs(value - values[i]) <= 1e-3 * Math.abs(values[i]) + 1e-6, `${output} ${i}`));
    }
  });
}

test("an empty field is filled at random, within what the model takes", async (t) => {
  const page = await open(t);
  await openTrying(page, "scratch");
  await page.getByLabel("T", { exact: true }).fill("40");
  await runIt(page);
  const text = await page.locator("label.values", { hasText: "tokens" }).locator("textarea").inputValue();
  const tokens = text.split(/\s+/).map(Number);
  assert.equal(tokens.length, 40);
  const range = JSON.parse(readFileSync(join(BUNDLES, "scratch/manifest.json"), "utf8")).inputs.tokens.range;
  for (const token of tokens) assert.ok(Number.isInteger(token) && token >= range[0] && token <= range[1], String(token));
  assert.ok((await page.locator("#outputs article").count()) > 0);
  // What the page has filled in gives way to another size.
  await page.getByLabel("T", { exact: true }).fill("3");
  assert.match(await runIt(page), / ms\.$/);
});

for (const [typed, sentence] of [
  ["1 2", "tokens is int64[1, 3]: it takes 3 numbers, and 2 were given."],
  ["1 two 3", "tokens: 'two' is not a number."],
  ["1 0.5 3", "tokens takes whole numbers, and '0.5' was given."],
  ["1 2 4711", /^tokens takes 0 to \d+, and 4711 was given\.$/],
]) {
  test(`${typed} for three tokens is one sentence`, async (t) => {
    const page = await open(t);
    await openTrying(page, "scratch");
    await page.getByLabel("T", { exact: true }).fill("3");
    await page.locator("label.values", { hasText: "tokens" }).locator("textarea").fill(typed);
    const said = await runIt(page);
    if (typeof sentence === "string") assert.equal(said, sentence);
    else assert.match(said, sentence);
    assert.equal(await page.locator("#outputs article").count(), 0);
  });
}

test("sizes that follow from others are computed, and one that would be empty is one sentence", async (t) => {
  const path = copy("lstm", "following");
  const manifest = JSON.parse(readFileSync(join(path, "manifest.json"), "utf8"));
  manifest.inputs.x.shape = ["12*(T-4)//3-T*2", "N", 3];
  writeFileSync(join(path, "manifest.json"), JSON.stringify(manifest));
  const page = await open(t);
  await choose(page, path);
  await page.locator("#trying").waitFor();
  await page.getByLabel("T", { exact: true }).fill("9");
  assert.match(await runIt(page), / ms\.$/);
  assert.equal(await page.locator("label.values code").innerText(), "float32[2, 1, 3]");
  assert.equal(await page.locator("#outputs h3").first().innerText(), "output float32[2, 1, 4]");
  await page.getByLabel("T", { exact: true }).fill("8");
  await page.getByRole("button", { name: "Run it" }).click();
  await page.locator("#tried", { hasText: "x would be float32[0, 1, 3]. Give larger sizes." }).waitFor();
});

test("the program of the README is copied", async (t) => {
  const page = await open(t, { permissions: ["clipboard-read", "clipboard-write"] });
  await choose(page, join(BUNDLES, "lstm"));
  const panel = page.getByRole("region", { name: "Code", exact: true });
  await panel.locator("summary", { hasText: "JavaScript" }).click();
  await page.getByRole("button", { name: "Copy the program for JavaScript" }).click();
  await panel.getByText("Copied").waitFor();
  const copied = await page.evaluate(() => navigator.clipboard.readText());
  const readme = readFileSync(join(BUNDLES, "lstm/README.md"), "utf8");
  assert.ok(copied.includes("InferenceSession.create"));
  assert.ok(readme.includes(`\`\`\`js\n${copied}\`\`\``));
});

test("a bundle without a README has no code to copy", async (t) => {
  const path = copy("lstm", "no-readme");
  rmSync(join(path, "README.md"));
  const page = await open(t);
  await choose(page, path);
  await page.locator("#replay").waitFor();
  await page.waitForFunction(() => !document.getElementById("code"));
});

test("a bundle that is opened during a replay is replayed after it", async (t) => {
  const page = await open(t);
  await choose(page, join(BUNDLES, "hetero"));
  await page.getByRole("button", { name: "Replay the cases" }).click();
  await page.locator("#wasm").waitFor();
  await choose(page, join(BUNDLES, "lstm"));
  await page.getByRole("heading", { name: "single" }).waitFor();
  await replay(page);
  await passes(page, join(BUNDLES, "lstm"));
});

test("a planted fault is shown", async (t) => {
  const page = await open(t);
  await choose(page, join(BUNDLES, "wrong"));
  await page.locator("#replay").waitFor();
  await replay(page);
  for (const provider of ["wasm", "webgpu"]) {
    const { verdict, rows, notes } = await results(page, provider);
    assert.equal(verdict, "FAIL");
    assert.equal(notes.length, rows.length);
    for (const note of notes) assert.match(note, /^logits is off by 0\.1/);
  }
});

test("float16 passes on WebAssembly; what WebGPU raises is shown", async (t) => {
  const page = await open(t);
  await choose(page, join(BUNDLES, "half"));
  await page.locator("#replay").waitFor();
  await replay(page);
  const [wasm, webgpu] = [await results(page, "wasm"), await results(page, "webgpu")];
  assert.equal(wasm.verdict, "PASS");
  assert.equal(webgpu.verdict, "FAIL");
  for (const note of webgpu.notes) assert.match(note, /^the runtime raised: .* requires f16 but the device does not/);
});

test("a model in float64 passes on WebAssembly, and is told why it does not open on WebGPU", async (t) => {
  const page = await open(t);
  await choose(page, join(BUNDLES, "double"));
  await page.locator("#replay").waitFor();
  await replay(page);
  const [wasm, webgpu] = [await results(page, "wasm"), await results(page, "webgpu")];
  assert.equal(wasm.verdict, "PASS");
  assert.equal(webgpu.verdict, "NOT RUN");
  assert.match(webgpu.where, /^double\/model\.onnx is in float64, for which onnxruntime-web \S+ lacks operators in its/);
});

test("a model that ONNX Runtime does not open is one sentence", async (t) => {
  const path = copy("lstm", "no-model");
  const manifest = JSON.parse(readFileSync(join(path, "manifest.json"), "utf8"));
  manifest.files["model.onnx"].sha256 = createHash("sha256").update("no model").digest("hex");
  writeFileSync(join(path, "manifest.json"), JSON.stringify(manifest));
  writeFileSync(join(path, "model.onnx"), "no model");
  const page = await open(t);
  await choose(page, path);
  await page.locator("#replay").waitFor();
  await replay(page);
  for (const provider of ["wasm", "webgpu"]) {
    const { verdict, where } = await results(page, provider);
    assert.equal(verdict, "NOT RUN");
    assert.match(where, /^no-model\/model\.onnx cannot be opened in onnxruntime-web \S+ on \w+: [^:]+\.$/);
  }
});

test("a folder can be dropped", async (t) => {
  const page = await open(t);
  const session = await page.context().newCDPSession(page);
  const data = { items: [], files: [join(BUNDLES, "lstm")], dragOperationsMask: 1 };
  for (const type of ["dragEnter", "dragOver", "drop"]) {
    await session.send("Input.dispatchDragEvent", { type, x: 200, y: 400, data });
  }
  await page.getByRole("heading", { name: "single" }).waitFor();
  assert.equal(await page.locator("#error").innerText(), "");
});

const BAD = {
  "a folder without a manifest": [
    "model.onnx",
    null,
    "manifest.json",
    /^'bad\d+' is not a bundle: it has no manifest\.json\./,
  ],
  "a manifest that is no JSON": [
    "manifest.json",
    "{",
    null,
    /bad\d+\/manifest\.json is not a manifest \(it is not JSON\)/,
  ],
  "a manifest of another format": [
    "manifest.json",
    '{"format": 9}',
    null,
    /is not a manifest \(format is not 3\)/,
  ],
  "a manifest of format 1": [
    "manifest.json",
    '{"format": 1}',
    null,
    /bad\d+\/manifest\.json is of format 1, whose limits were too wide\. Export the model again\.$/,
  ],
  "a manifest of format 2": [
    "manifest.json",
    '{"format": 2}',
    null,
    /bad\d+\/manifest\.json is of format 2, whose limits were too wide\. Export the model again\.$/,
  ],
  "a changed model": ["model.onnx", "changed", null, /^bad\d+\/model\.onnx was changed after it was written/],
  "no model": [null, null, "model.onnx", /^bad\d+\/model\.onnx is not there\.$/],
};

Object.entries(BAD).forEach(([what, [file, content, missing, message]], index) => {
  test(`${what} is one sentence`, async (t) => {
    const path = copy("lstm", `bad${index}`);
    if (file && content !== null) writeFileSync(join(path, file), content);
    if (missing) rmSync(join(path, missing));
    const page = await open(t);
    await page.getByRole("button", { name: "Open the example" }).click();
    await page.locator("#replay").waitFor();
    await choose(page, path);
    await page.getByRole("alert").filter({ hasText: /./ }).waitFor();
    assert.match(await page.getByRole("alert").innerText(), message);
    assert.equal(await page.locator("#panels").innerText(), "");
    await choose(page, join(BUNDLES, "lstm"));
    await page.locator("#replay").waitFor();
    assert.equal(await page.getByRole("alert").innerText(), "");
  });
});

test("changed cases stop the replay with a sentence", async (t) => {
  const path = copy("lstm", "cases");
  writeFileSync(join(path, "cases.safetensors"), "changed");
  const page = await open(t);
  await choose(page, path);
  await page.locator("#replay").waitFor();
  await replay(page);
  for (const provider of ["wasm", "webgpu"]) {
    const { verdict, where } = await results(page, provider);
    assert.equal(verdict, "NOT RUN");
    assert.match(where, /^cases\/cases\.safetensors was changed after it was written\./);
  }
});

test("the keyboard is enough, and what happens is announced", async (t) => {
  const page = await open(t);
  const focused = () => page.evaluate(() => document.activeElement?.textContent?.trim());
  await page.keyboard.press("Tab");
  assert.equal(await focused(), "Open the example");
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement?.id), "folder");
  await page.keyboard.press("Shift+Tab");
  await page.keyboard.press("Enter");
  await page.locator("#replay").waitFor();
  assert.equal(await focused(), "hetero");
  assert.equal(await page.getByRole("status").innerText(), "hetero is open.");
  for (let i = 0; (await focused()) !== "Replay the cases"; i++) {
    assert.ok(i < 10);
    await page.keyboard.press("Tab");
  }
  await page.keyboard.press("Enter");
  await page.locator("#webgpu:not([aria-busy])").waitFor({ timeout: 120_000 });
  assert.equal(await page.getByRole("status").innerText(), "WebGPU: PASS.");
  await page.waitForFunction(() => document.activeElement?.textContent === "Replay the cases");
});

test("what a screen reader is told", async (t) => {
  const page = await open(t);
  await choose(page, join(BUNDLES, "tagger_stateful"));
  await page.locator("#replay").waitFor();
  const told = await page.locator("body").ariaSnapshot();
  for (const part of [
    'heading "rnn-export bundle" [level=1]',
    'region "Open a bundle"',
    'button "Choose a folder"',
    'table "Signature"',
    'rowheader "rnn.0.h0"',
    'spinbutton "Time steps at once"',
  ]) {
    assert.ok(told.includes(part), `${part}\n${told}`);
  }
});

for (const [width, colorScheme] of SCREENS) {
  test(`it fits ${width} pixels and is ${colorScheme}`, async (t) => {
    const page = await open(t, { viewport: { width, height: 900 }, colorScheme });
    await choose(page, join(BUNDLES, "tagger_stateful"));
    await page.locator("#replay").waitFor();
    await replay(page);
    await page.screenshot({ path: join(SHOTS, `${width}-${colorScheme}.png`), fullPage: true });
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), width);
    const [text, back] = await page.evaluate(() => {
      const { color, backgroundColor } = getComputedStyle(document.body);
      return [color, backgroundColor].map((value) => Number(/\d+/.exec(value)?.[0]));
    });
    assert.equal(text < back, colorScheme === "light");
  });
}

test("without WebGPU the page says so", async (t) => {
  const plain = await start({ webgpu: false });
  t.after(plain.close);
  const page = await plain.browser.newPage();
  await page.goto(plain.url);
  await choose(page, join(BUNDLES, "lstm"));
  await page.locator("#replay").waitFor();
  await replay(page);
  assert.equal((await results(page, "wasm")).verdict, "PASS");
  const { verdict, where } = await results(page, "webgpu");
  assert.deepEqual([verdict, where], ["NOT RUN", "This browser has no WebGPU, or no device for it."]);
});
