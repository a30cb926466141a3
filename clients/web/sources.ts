/** Bundles that a browser can read: the example on the server, files that were chosen, a folder that was dropped. */

import { MANIFEST, Source } from "../javascript/bundle.js";
import { InputError, firstLine } from "../javascript/errors.js";

type Read = (file: string) => Promise<Uint8Array>;

/** The folder beside the page that `make client-web` exports. */
const EXAMPLE = "example";

export function example(): Source {
  return onServer(EXAMPLE);
}

/** A folder beside the page. */
export function onServer(folder: string): Source {
  return source(folder, async (file) => {
    const response = await fetch(`${folder}/${file}`);
    if (!response.ok) throw new InputError(`${folder}/${file} is not there.`);
    return new Uint8Array(await response.arrayBuffer());
  });
}

/**
 * The bundle among files of one folder: where the manifest lies that is nearest to the top.
 *
 * @param files By their paths.
 * @throws InputError There is no manifest.
 */
export function fromFiles(files: ReadonlyMap<string, File>): Source {
  const [manifest] = [...files.keys()]
    .filter((path) => path.split("/").at(-1) === MANIFEST)
    .sort((one, other) => one.split("/").length - other.split("/").length);
  if (manifest === undefined) {
    const [first] = files.keys();
    const given = first === undefined ? "The folder" : `'${first.split("/")[0]}'`;
    throw new InputError(`${given} is not a bundle: it has no ${MANIFEST}. Choose a folder that an export wrote.`);
  }
  const folder = manifest.slice(0, -MANIFEST.length);
  return source(folder.slice(0, -1) || "the files", async (file) => {
    const found = files.get(folder + file);
    if (!found) throw new InputError(`${folder}${file} is not there.`);
    return new Uint8Array(await found.arrayBuffer());
  });
}

/** The files that were dropped, and those of folders that were, by their paths. */
export async function dropped(transfer: DataTransfer): Promise<Map<string, File>> {
  // Entries must be asked for before anything is awaited: the list of items is empty afterwards.
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry()).filter((entry) => entry !== null);
  const files = new Map<string, File>();
  for (const entry of entries) await collect(entry, files);
  return files;
}

async function collect(entry: FileSystemEntry, files: Map<string, File>): Promise<void> {
  if (entry.isFile) {
    const file = entry as FileSystemFileEntry;
    files.set(entry.fullPath.slice(1), await new Promise((resolve, reject) => file.file(resolve, reject)));
  } else {
    const reader = (entry as FileSystemDirectoryEntry).createReader();
    // A reader gives a hundred entries at a time.
    for (let batch = await next(reader); batch.length > 0; batch = await next(reader)) {
      for (const each of batch) await collect(each, files);
    }
  }
}

function next(reader: FileSystemDirectoryReader): Promise<FileSystemEntry[]> {
  return new Promise((resolve, reject) => reader.readEntries(resolve, reject));
}

function source(name: string, read: Read): Source {
  const readable: Read = (file) =>
    read(file).catch((error: unknown) => {
      if (error instanceof InputError) throw error;
      throw new InputError(`${name}/${file} cannot be read (${firstLine(error)}).`);
    });
  return { name, read: readable, sha256: async (file) => sha256(await readable(file)) };
}

async function sha256(bytes: Uint8Array): Promise<string> {
  if (!isSecureContext)
    throw new InputError("Hashes cannot be computed on this page. Serve it by https, or on localhost.");
  const digest = await crypto.subtle.digest("SHA-256", bytes as Uint8Array<ArrayBuffer>);
  return [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
