/** A bundle's files: its manifest, its model, its stored cases; none of them other than when they were written. */

import { InputError } from "./errors.js";
import { Artifact, Manifest, readManifest } from "./manifest.js";
import { readTensors } from "./safetensors.js";
import type { Tensor } from "./tensor.js";
import { VOCABULARY, Vocabulary, readVocabulary } from "./vocabulary.js";

export const MANIFEST = "manifest.json";
export const CASES = "cases.safetensors";

/** Where a bundle's files lie. Both methods throw an InputError for one that is not there. */
export interface Source {
  /** What messages call it. */
  readonly name: string;
  read(file: string): Promise<Uint8Array>;
  sha256(file: string): Promise<string>;
}

export class Bundle {
  private constructor(
    readonly source: Source,
    readonly manifest: Manifest,
    /** The model's file. */
    readonly file: string,
    readonly artifact: Artifact,
  ) {}

  /**
   * Read the manifest, and compare the hashes of the model's files with those in it.
   *
   * @throws InputError It is no bundle, or has no such model, or a file was changed.
   */
  static async read(source: Source, file = "model.onnx"): Promise<Bundle> {
    const manifest = readManifest(await source.read(MANIFEST), `${source.name}/${MANIFEST}`);
    const artifact = manifest.artifacts.get(file);
    if (!artifact) throw new InputError(`${source.name} has no ${file}. Export the model to ONNX.`);
    const bundle = new Bundle(source, manifest, file, artifact);
    await bundle.checkHash(file);
    if (bundle.weightsFile) await bundle.checkHash(bundle.weightsFile);
    return bundle;
  }

  /** The file with the model's weights, where they lie apart. */
  get weightsFile(): string | null {
    const file = `${this.file}.data`;
    return this.manifest.files.has(file) ? file : null;
  }

  /**
   * The tensors of the stored cases, by names such as `ordinary-T7-N5/inputs/x`.
   *
   * @throws InputError The file is not there, was changed or is no safetensors file.
   */
  async readTensors(): Promise<Map<string, Tensor>> {
    await this.checkHash(CASES);
    return readTensors(await this.source.read(CASES), `${this.source.name}/${CASES}`);
  }

  /** Whether it is a model of characters, and says which. */
  get hasVocabulary(): boolean {
    return this.manifest.files.has(VOCABULARY);
  }

  /** @throws InputError There is none, or it was changed or is malformed. */
  async readVocabulary(): Promise<Vocabulary> {
    if (!this.hasVocabulary) {
      throw new InputError(`${this.source.name} has no ${VOCABULARY}, so no text can be written with it.`);
    }
    await this.checkHash(VOCABULARY);
    return readVocabulary(await this.source.read(VOCABULARY), `${this.source.name}/${VOCABULARY}`);
  }

  private async checkHash(file: string): Promise<void> {
    const expected = this.manifest.files.get(file)?.sha256;
    if (expected === undefined) {
      throw new InputError(`${this.source.name}/${MANIFEST} does not name ${file}. Export the model again.`);
    }
    if ((await this.source.sha256(file)) !== expected) {
      throw new InputError(`${this.source.name}/${file} was changed after it was written. Export the model again.`);
    }
  }
}
