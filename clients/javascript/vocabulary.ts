/** `vocabulary.json` in a bundle: which character each token of the model is. */

import * as z from "zod/mini";
import { InputError } from "./errors.js";
import { readJson } from "./json.js";

export const VOCABULARY = "vocabulary.json";

const character = z.string().check(z.refine((each) => [...each].length === 1));

/** `input` takes tokens, `output` has a logit for every character; a character's token is its place. */
const vocabulary = z.object({
  format: z.literal(1),
  input: z.string(),
  output: z.string(),
  characters: z.array(character).check(z.minLength(1)),
});

export type Vocabulary = z.infer<typeof vocabulary>;

/** @throws InputError It is not a vocabulary of this format. */
export function readVocabulary(bytes: Uint8Array, file: string): Vocabulary {
  const bad = () => new InputError(`${file} is not a vocabulary of format 1. Write it again.`);
  return readJson(bytes, vocabulary, bad);
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
