/** The page whose example is a model of characters: `make test-web` builds it so from BUNDLES/characters_stateful. */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { test } from "node:test";
import { start } from "../chromium/browser.js";

const BUNDLES = process.env.BUNDLES ?? assert.fail("BUNDLES names no folder; run make test-web");
const BUNDLE = resolve(BUNDLES, "characters_stateful");
const ROOT = join(import.meta.dirname, "../../..");

test("a model of characters is opened as the example, and writes what PyTorch writes", async (t) => {
  const site = await start({ webgpu: false });
  t.after(site.close);
  const page = await site.browser.newPage();
  await page.goto(site.url);
  await page.getByRole("button", { name: "Open the example" }).click();
  const { prompt, written } = JSON.parse(readFileSync(join(BUNDLE, "greedy.json"), "utf8"));
  await page.getByLabel("Prompt").fill(prompt);
  await page.getByLabel("Temperature").fill("0");
  await page.getByLabel("Characters").fill("200");
  await page.getByRole("button", { name: "Write" }).click();
  await page.getByRole("status").filter({ hasText: "Wrote 200 characters." }).waitFor();
  assert.equal(await page.locator("#written").evaluate((text) => text.textContent), prompt + written);
});

for (const missing of ["vocabulary.json", "model.onnx"]) {
  test(`an example whose ${missing} is missing is one sentence of make`, (t) => {
    const folder = mkdtempSync(join(tmpdir(), "example-"));
    t.after(() => rmSync(folder, { recursive: true }));
    cpSync(BUNDLE, folder, { recursive: true });
    rmSync(join(folder, missing));
    // What a make that runs this test hands down is not for another.
    const { MAKEFLAGS, MAKELEVEL, ...env } = process.env;
    const command = ["--silent", "client-web", `EXAMPLE=${folder}`];
    const { status, stderr } = spawnSync("make", command, { cwd: ROOT, env, encoding: "utf8" });
    assert.equal(status, 2);
    const sentence = `Error: ${folder}/${missing} is missing, though manifest.json lists it. Export the model again.`;
    assert.equal(stderr.split("\n")[0], sentence);
  });
}
