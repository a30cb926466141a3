/** The page: opens a bundle and shows a panel for each thing that can be done with it. */

import { Bundle, Source } from "../javascript/bundle.js";
import { byId } from "./dom.js";
import { code } from "./panels/code.js";
import { description } from "./panels/description.js";
import { replay } from "./panels/replay.js";
import { trying } from "./panels/trying.js";
import { writing } from "./panels/writing.js";
import { readSizes } from "./sizes.js";
import { dropped, example, fromFiles } from "./sources.js";
import { announce, clearError, showError } from "./status.js";

/** From top to bottom; each makes its part of the page for a bundle, or nothing where it is not for that kind. */
const PANELS = [description, writing, replay, trying, code];

async function open(source: Promise<Source> | Source): Promise<void> {
  clearError();
  byId("panels").replaceChildren();
  announce("Reading the bundle.");
  try {
    const bundle = await Bundle.read(await source);
    byId("panels").replaceChildren(...PANELS.flatMap((panel) => panel(bundle) ?? []));
    announce(`${bundle.manifest.name} is open.`);
    byId("bundle-title").focus();
  } catch (error) {
    announce("");
    showError(error);
  }
}

function chosen(input: HTMLInputElement): Map<string, File> {
  return new Map([...(input.files ?? [])].map((file) => [file.webkitRelativePath || file.name, file]));
}

byId("example").addEventListener("click", () => open(example()));

byId<HTMLInputElement>("folder").addEventListener("change", ({ target }) => {
  const input = target as HTMLInputElement;
  const files = chosen(input);
  // So that choosing the same folder again is a change.
  input.value = "";
  void open((async () => fromFiles(files))());
});

document.addEventListener("dragover", (event) => {
  event.preventDefault();
  byId("drop").classList.add("over");
});
document.addEventListener("dragleave", () => byId("drop").classList.remove("over"));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  byId("drop").classList.remove("over");
  if (event.dataTransfer) void open(dropped(event.dataTransfer).then(fromFiles));
});

// For programs that drive the browser; the code is loaded when one asks for it.
Object.assign(window, { driven: () => import("./driven.js") });

byId("sizes").textContent = await readSizes();
