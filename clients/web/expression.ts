/** Sizes that follow from others, such as `12*(T-4)`: whole numbers, names, `+`, `-`, `*`, `//` and parentheses. */

import { InputError } from "../javascript/errors.js";

const TOKEN = /\s*(\d+|[A-Za-z_]\w*|\/\/|[-+*()])/y;
const NAME = /[A-Za-z_]\w*/g;

/** The names in a size, each once. */
export function namesIn(expression: string): string[] {
  return [...new Set(expression.match(NAME) ?? [])];
}

/** @throws InputError It is no such expression, or holds a name without a size. */
export function evaluate(expression: string, sizes: ReadonlyMap<string, number>): number {
  const tokens = tokenize(expression);
  const value = sum(tokens, sizes);
  if (tokens.length > 0) throw unknown(expression);
  return value;
}

function tokenize(expression: string): string[] {
  const tokens: string[] = [];
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < expression.length) {
    const found = TOKEN.exec(expression);
    if (!found) throw unknown(expression);
    tokens.push(found[1]!);
  }
  return tokens;
}

function sum(tokens: string[], sizes: ReadonlyMap<string, number>): number {
  let value = term(tokens, sizes);
  while (tokens[0] === "+" || tokens[0] === "-") {
    value += (tokens.shift() === "+" ? 1 : -1) * term(tokens, sizes);
  }
  return value;
}

function term(tokens: string[], sizes: ReadonlyMap<string, number>): number {
  let value = factor(tokens, sizes);
  while (tokens[0] === "*" || tokens[0] === "//") {
    const isProduct = tokens.shift() === "*";
    const other = factor(tokens, sizes);
    value = isProduct ? value * other : Math.floor(value / other);
  }
  return value;
}

function factor(tokens: string[], sizes: ReadonlyMap<string, number>): number {
  const token = tokens.shift() ?? "";
  if (token === "-") return -factor(tokens, sizes);
  if (token === "(") {
    const value = sum(tokens, sizes);
    if (tokens.shift() !== ")") throw unknown(token);
    return value;
  }
  const value = /^\d+$/.test(token) ? Number(token) : sizes.get(token);
  if (value === undefined) throw unknown(token);
  return value;
}

function unknown(what: string): InputError {
  return new InputError(`'${what}' is not a size that this page can compute.`);
}
