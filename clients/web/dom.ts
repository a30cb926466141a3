/** Making elements of the page. */

type Child = Node | string;

export function make<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Readonly<Record<string, string>> = {},
  ...children: readonly Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** A part of the page under a heading, which screen readers list. */
export function section(id: string, title: string, ...children: readonly Child[]): HTMLElement {
  const heading = make("h2", { id: `${id}-title`, tabindex: "-1" }, title);
  return make("section", { id, "aria-labelledby": heading.id }, heading, ...children);
}

/** A table that scrolls by itself where the page is too narrow for it; a column of `numbers` is aligned to the right. */
export function table(
  caption: string,
  columns: readonly string[],
  rows: readonly (readonly Child[])[],
  numbers: readonly string[] = [],
): HTMLElement {
  const heading = (column: string) => make("th", { scope: "col", class: numbers.includes(column) ? "n" : "" }, column);
  const head = make("tr", {}, ...columns.map(heading));
  const whole = make("table", {}, make("caption", {}, caption), make("thead", {}, head), make("tbody"));
  rows.forEach((cells) => addRow(whole, cells));
  return make("div", { class: "scroll", role: "region", "aria-label": caption, tabindex: "0" }, whole);
}

/** The first cell heads its row. */
export function addRow(table: ParentNode, [first, ...rest]: readonly Child[]): void {
  const head = make("th", { scope: "row" }, first ?? "");
  const heads = [...table.querySelectorAll("thead th")].slice(1);
  const cells = rest.map((cell, index) => make("td", { class: heads[index]?.className ?? "" }, cell));
  table.querySelector("tbody")!.append(make("tr", {}, head, ...cells));
}

/** A row that says something about the one above it. */
export function addNote(table: ParentNode, columns: number, text: string): void {
  table.querySelector("tbody")!.append(make("tr", { class: "note" }, make("td", { colspan: String(columns) }, text)));
}

/** A button that copies a text, and says for a while that it has, or why not. */
export function copyButton(label: string, text: () => string, shown: string = label): HTMLButtonElement {
  const button = make("button", { type: "button", class: "copy", "aria-label": label }, shown);
  button.addEventListener("click", async () => {
    button.textContent = await copied(text());
    setTimeout(() => (button.textContent = shown), 2000);
  });
  return button;
}

/** Browsers have a clipboard only on pages by https or on localhost, and may refuse it. */
async function copied(text: string): Promise<string> {
  try {
    await navigator.clipboard.writeText(text);
    return "Copied";
  } catch {
    return "Not copied: the browser refused";
  }
}

export function byId<T extends HTMLElement>(id: string): T {
  return document.getElementById(id) as T;
}
