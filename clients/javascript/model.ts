/** A bundle's model, opened in a runtime: run whole, streamed, and checked with the stored cases. */

import type { Bundle } from "./bundle.js";
import { CaseResult, checkCase, readCases } from "./checking.js";
import { InputError } from "./errors.js";
import type { StreamSpec } from "./manifest.js";
import type { Session } from "./session.js";
import { Stream, runWhole } from "./stream.js";
import type { Tensor } from "./tensor.js";

export class Model {
  constructor(
    readonly bundle: Bundle,
    private readonly session: Session,
  ) {}

  /** Whether every node runs on the provider that was asked for; else some run on the CPU. */
  get strict(): boolean {
    return this.session.strict;
  }

  /**
   * The outputs of a whole sequence, by name; states begin at their reset values unless they are among the inputs.
   *
   * @param chunk As many time steps are fed at once; null for all.
   * @throws InputError A tensor is missing or does not fit, or the model has no states to carry.
   */
  run(inputs: ReadonlyMap<string, Tensor>, chunk: number | null = null): Promise<Map<string, Tensor>> {
    return runWhole(this.session, this.bundle.manifest, this.bundle.artifact.stream, inputs, chunk);
  }

  /**
   * A stream at its beginning; streams of one model may be fed in turn.
   *
   * @param sizes Of the dynamic dimensions but for the time, such as `{ N: 2 }`.
   * @throws InputError The model has no states to carry, or a size is missing.
   */
  stream(sizes: Readonly<Record<string, number>>): Stream {
    return new Stream(this.session, this.streamSpec(), new Map(Object.entries(sizes)));
  }

  /**
   * Replay the stored cases, one after the other, and judge each.
   *
   * @param chunk As many time steps are fed at once; null for all.
   * @throws InputError The cases were changed or are not there, or the model has no states to carry.
   */
  async *check(chunk: number | null = null): AsyncGenerator<CaseResult> {
    if (chunk !== null) this.streamSpec();
    for (const item of await readCases(this.bundle)) yield checkCase(item, (inputs) => this.run(inputs, chunk));
  }

  close(): Promise<void> {
    return this.session.close();
  }

  private streamSpec(): StreamSpec {
    const spec = this.bundle.artifact.stream;
    if (!spec) throw new InputError(`${this.bundle.source.name} has no states to carry. Export it with --stateful.`);
    return spec;
  }
}
