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

/** A table that scrolls by itself where the page is too narrow for it. */
export function table(caption: string, columns: readonly string[], rows: readonly (readonly Child[])[]): HTMLElement {
  const head = make("tr", {}, ...columns.map((column) => make("th", { scope: "col" }, column)));
  const whole = make("table", {}, make("caption", {}, caption), make("thead", {}, head), make("tbody"));
  rows.forEach((cells) => addRow(whole, cells));
  return make("div", { class: "scroll", role: "region", "aria-label": caption, tabindex: "0" }, whole);
}

/** The first cell heads its row. */
export function addRow(table: ParentNode, [first, ...rest]: readonly Child[]): void {
  const head = make("th", { scope: "row" }, first ?? "");
  table.querySelector("tbody")!.append(make("tr", {}, head, ...rest.map((cell) => make("td", {}, cell))));
}

/** A row that says something about the one above it. */
export function addNote(table: ParentNode, columns: number, text: string): void {
  table.querySelector("tbody")!.append(make("tr", { class: "note" }, make("td", { colspan: String(columns) }, text)));
}

export function byId<T extends HTMLElement>(id: string): T {
  return document.getElementById(id) as T;
}
