/** Usage: program.js BUNDLE. Runs the program in a bundle's README in chromium, and prints what it prints. */

import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { start } from "../chromium/browser.js";

const [folder] = process.argv.slice(2);
const WEB = join(import.meta.dirname, "..");
const [section] = readFileSync(join(folder, "README.md"), "utf8").match(/^### JavaScript.*?(?=^##)/ms);
const [, program] = section.match(/```js\n(.*?)```/s);
const [, saved] = section.match(/^Save it as `([^`]+)`/m);
const [, html] = section.match(/```html\n(.*?)```/s);
/** What the reader has written, by name. */
const WRITTEN = {
  "": { body: html, contentType: "text/html" },
  [saved]: { body: `${program}console.log("end");`, contentType: "text/javascript" },
};

const site = await start({ webgpu: false });
const page = await site.browser.newPage();
await page.route("**/program/**", (route) => {
  const [, path] = route.request().url().split("/program/");
  if (path in WRITTEN) return route.fulfill(WRITTEN[path]);
  const file = join(path.startsWith("node_modules/") ? WEB : folder, path);
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
