/** What a screen reader is told while something runs, and sentences about what is wrong. */

import { firstLine } from "../javascript/errors.js";
import { byId } from "./dom.js";

export function announce(text: string): void {
  byId("status").textContent = text;
}

export function showError(error: unknown): void {
  byId("error").textContent = firstLine(error);
}

export function clearError(): void {
  byId("error").textContent = "";
}
