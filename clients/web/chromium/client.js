/** The built page as a client (clients/README.md): chromium opens a model on it, and is handed files of cases. */

import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import { createInterface } from "node:readline";

const WEB = join(import.meta.dirname, "..");
/** What a backend is called, and what the page must say that it runs on. */
const BACKENDS = {
  wasm: { title: "WebAssembly", device: /^the CPU, one thread$/ },
  webgpu: { title: "WebGPU (SwiftShader)", device: /swiftshader/i },
};

/**
 * @param {keyof typeof BACKENDS} provider
 * @param {string[]} args
 * @returns {Promise<number>} The exit code.
 */
export async function main(provider, args) {
  try {
    await run(provider, args);
    return 0;
  } catch (error) {
    process.stderr.write(`Error: ${sentence(error)}\n`);
    return 2;
  }
}

async function run(provider, args) {
  if (!existsSync(join(WEB, "dist"))) throw new Error("The page is not built. Build it with: make client-web");
  if (args.join() === "--version") {
    process.stdout.write(version(provider));
    return;
  }
  const timed = args[0] === "--time";
  const [path, ...files] = timed ? args.slice(1) : args;
  if (!path || path.startsWith("-") || !(timed ? [1] : [0, 2]).includes(files.length)) {
    throw new Error("Give MODEL, MODEL CASES OUT, --time MODEL CASES, or --version.");
  }
  const model = await open(path, provider);
  try {
    if (timed) await printTimes(model, files[0]);
    else if (files.length > 0) await model.run(files[0], files[1]);
    else await serve(model);
  } finally {
    await model.close();
  }
}

function version(provider) {
  const [own, runtime] = [WEB, join(WEB, "node_modules/onnxruntime-web")].map(
    (folder) => JSON.parse(readFileSync(join(folder, "package.json"), "utf8")).version,
  );
  return `rnn-export-web ${own}, onnxruntime-web ${runtime} on ${BACKENDS[provider].title}, takes .onnx\n`;
}

async function printTimes(model, cases) {
  for (const [name, time] of await model.time(cases)) process.stdout.write(`${name} ${time.toFixed(1)}\n`);
}

/** Answers each line `CASES<tab>OUT` with an empty line, or with what is wrong. */
async function serve(model) {
  process.stdout.write("ready\n");
  for await (const line of createInterface({ input: process.stdin })) {
    let answer = "";
    try {
      const [cases, out] = line.split("\t");
      if (out === undefined) throw new Error("Give CASES, a tab, and OUT.");
      await model.run(cases, out);
    } catch (error) {
      answer = sentence(error);
    }
    process.stdout.write(`${answer}\n`);
  }
}

/** A model, opened on the page. */
async function open(path, provider) {
  clearAwayAfterwards();
  const { start } = await import("./browser.js");
  const site = await start({ webgpu: provider === "webgpu" });
  try {
    const page = await site.browser.newPage();
    await page.goto(site.url);
    const folder = await serveFolder(page, dirname(resolve(path)));
    const driven = await page.evaluateHandle(() => window.driven());
    const given = [folder, basename(path), provider];
    const { model, device } = await opened(await driven.evaluateHandle((page, given) => page.open(...given), given));
    if (!BACKENDS[provider].device.test(device)) throw new Error(`The page runs on ${device}, and not as it should.`);
    const call = (name, file) =>
      driven.evaluate((page, [name, ...given]) => page[name](...given), [name, model, read(file), file]);
    return {
      time: (cases) => call("time", cases),
      run: async (cases, out) => write(out, await call("run", cases)),
      close: site.close,
    };
  } catch (error) {
    await site.close();
    throw error;
  }
}

async function opened(handle) {
  return { model: await handle.getProperty("model"), device: await handle.evaluate(({ device }) => device) };
}

/** @returns Where the page finds a folder's files: beside itself, as if its server had them. */
async function serveFolder(page, folder) {
  const beside = `bundle/${encodeURIComponent(basename(folder))}`;
  await page.route(`**/${beside}/*`, (route) => {
    const path = join(folder, decodeURIComponent(basename(route.request().url())));
    return route.fulfill(existsSync(path) ? { path } : { status: 404 });
  });
  return beside;
}

/** Who asks may kill this process, which then can clear nothing away: a shell waits for its end, and does. */
function clearAwayAfterwards() {
  process.env.TMPDIR = mkdtempSync(join(tmpdir(), "rnn-export-web-"));
  const script = 'cat; sleep 1; rm -rf "$0"';
  spawn("sh", ["-c", script, process.env.TMPDIR], { detached: true, stdio: ["pipe", "ignore", "ignore"] }).unref();
}

function read(path) {
  if (!existsSync(path)) throw new Error(`${path} is not there.`);
  return new Uint8Array(readFileSync(path));
}

/** Written beside its place and renamed, so that there is all of it or nothing. */
function write(path, bytes) {
  const partial = `${path}.${process.pid}.partial`;
  try {
    writeFileSync(partial, bytes);
    renameSync(partial, path);
  } catch (error) {
    rmSync(partial, { force: true });
    throw new Error(`${path} cannot be written (${sentence(error)}).`);
  }
}

/** What the page threw comes with a stack, and with where it was called. */
function sentence(error) {
  return String(error.message).split("\n")[0].replace(/^\w+\.evaluate\w*: (\w*Error: )?/, "");
}
