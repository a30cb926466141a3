/** A bundle in a folder. */

import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import type { Source } from "../javascript/bundle.js";
import { InputError, firstLine } from "../javascript/errors.js";

/** Read a file. @throws InputError It cannot be read. */
export async function readBytes(path: string): Promise<Uint8Array> {
  return readFile(path).catch((error: unknown) => {
    throw unreadable(path, error);
  });
}

export function folder(path: string): Source {
  return {
    name: path,
    read: (file) => readBytes(join(path, file)),
    sha256: async (file) => {
      const hash = createHash("sha256");
      await pipeline(createReadStream(join(path, file)), hash).catch((error: unknown) => {
        throw unreadable(join(path, file), error);
      });
      return hash.digest("hex");
    },
  };
}

function unreadable(path: string, error: unknown): InputError {
  const code = (error as NodeJS.ErrnoException).code;
  return new InputError(code === "ENOENT" ? `${path} is not there.` : `${path} cannot be read (${firstLine(error)}).`);
}
