/** `vocabulary.json` in a bundle: which character each token of the model is. */

import { InputError } from "./errors.js";

export const VOCABULARY = "vocabulary.json";

export interface Vocabulary {
  /** The input that takes tokens. */
  readonly input: string;
  /** The output with a logit for every character. */
  readonly output: string;
  /** A character's token is its place. */
  readonly characters: readonly string[];
}

/** @throws InputError It is not a vocabulary of this format. */
export function readVocabulary(bytes: Uint8Array, file: string): Vocabulary {
  const malformed = new InputError(`${file} is not a vocabulary of format 1. Write it again.`);
  let data: Record<string, unknown> | null;
  try {
    data = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    throw malformed;
  }
  const { format, input, output, characters } = data ?? {};
  if (format !== 1 || typeof input !== "string" || typeof output !== "string" || !isCharacters(characters)) {
    throw malformed;
  }
  return { input, output, characters };
}

function isCharacters(value: unknown): value is string[] {
  return (
    Array.isArray(value) && value.length > 0 && value.every((each) => typeof each === "string" && [...each].length === 1)
  );
}

/** The tokens of a text. @throws InputError A character is not in the vocabulary. */
export function encode({ characters }: Vocabulary, text: string): number[] {
  const tokens = new Map(characters.map((character, token) => [character, token]));
  return [...text].map((character) => {
    const token = tokens.get(character);
    if (token !== undefined) return token;
    throw new InputError(`The model does not know the character ${JSON.stringify(character)}. Leave it out.`);
  });
}
