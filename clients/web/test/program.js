/** Usage: program.js BUNDLE. Runs the program in a bundle's README in chromium, and prints what it prints. */

import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { start } from "../chromium/browser.js";

const [folder] = process.argv.slice(2);
const ORT = join(import.meta.dirname, "../node_modules/onnxruntime-web/dist");
const [, program] = readFileSync(join(folder, "README.md"), "utf8").match(/^### JavaScript.*?```js\n(.*?)```/ms);
// As the comment on its first line says.
const [, node, web] = program.match(/from ("\S+"); \/\/ in a browser: ("\S+")/);
const PAGE = `<!doctype html>
<script type="importmap">{ "imports": { ${web}: "./ort/ort.wasm.bundle.min.mjs" } }</script>
<script type="module">${program.replace(node, web)}console.log("end");</script>`;

const site = await start({ webgpu: false });
const page = await site.browser.newPage();
await page.route("**/program/**", (route) => {
  const [, path] = route.request().url().split("/program/");
  if (path === "") return route.fulfill({ body: PAGE, contentType: "text/html" });
  const file = path.startsWith("ort/") ? join(ORT, path.slice(4)) : join(folder, path);
  return route.fulfill(existsSync(file) ? { path: file } : { status: 404 });
});
const ended = new Promise((resolve, reject) => {
  let printed = Promise.resolve();
  // Values arrive one by one from the page: a line waits for the line before it, and the end for all of them.
  const print = async (message) => {
    const values = await Promise.all(message.args().map((value) => value.jsonValue()));
    if (values[0] === "end") resolve();
    else console.log(...values);
  };
  page.on("pageerror", reject);
  page.on("console", (message) => {
    if (message.type() === "log") printed = printed.then(() => print(message)).catch(reject);
  });
});
await Promise.all([page.goto(`${site.url}program/`), ended]).finally(site.close);
