/** Standard output that can no longer be written to ends the program. */

import { firstLine } from "../javascript/errors.js";

/** Who reads may have had enough, about which there is nothing to say; of anything else there is a sentence. */
export function endWithOutput(): void {
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") process.stderr.write(`Error: The output cannot be written: ${firstLine(error)}.\n`);
    process.exit(2);
  });
}
