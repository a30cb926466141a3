/** The programs that run the model, from the bundle's README, to be copied. */

import type { Bundle } from "../../javascript/bundle.js";
import { copyButton, make, section } from "../dom.js";

const README = "README.md";
const PROGRAM = /^### (.+)\n(?:(?!^#)[^])*?^```\w+\n([^]*?)^```$/gm;

/** Nothing for a bundle without a README. */
export function code(bundle: Bundle): HTMLElement | null {
  if (!bundle.manifest.files.has(README)) return null;
  const programs = make("div", {});
  const panel = section("code", "Code", make("p", {}, `What runs ${bundle.file} elsewhere.`), programs);
  void fill(bundle, programs).then((found) => found || panel.remove());
  return panel;
}

/** @returns Whether there is a program for the file. */
async function fill(bundle: Bundle, into: HTMLElement): Promise<boolean> {
  const bytes = await bundle.source.read(README).catch(() => null);
  if (!bytes) return false;
  const programs = programsFor(bundle.file, new TextDecoder().decode(bytes));
  into.append(...programs.map(([title, program], index) => shown(title, program, index === 0)));
  return programs.length > 0;
}

/** The programs under the file's own heading, each with its title. */
export function programsFor(file: string, readme: string): [string, string][] {
  const [, part = ""] = readme.split(`\n## ${file}\n`);
  const [own = ""] = part.split(/^## /m);
  return [...own.matchAll(PROGRAM)].map(([, title = "", program = ""]) => [title, program]);
}

function shown(title: string, program: string, isOpen: boolean): HTMLElement {
  return make(
    "details",
    isOpen ? { open: "" } : {},
    make("summary", {}, title),
    make(
      "div",
      { class: "program" },
      copyButton(`Copy the program for ${title}`, () => program, "Copy"),
      make("pre", { tabindex: "0", role: "region", "aria-label": title }, make("code", {}, program)),
    ),
  );
}
