/** How many bytes the page's own code has, and the runtime's: counted when the page is built, shown at its end. */

import type { Plugin } from "vite";

const FILE = "sizes.json";

interface Sizes {
  readonly own: number;
  readonly runtime: number;
}

/** Counts the files of a build, without the example. */
export function countSizes(): Plugin {
  return {
    name: "sizes",
    enforce: "post",
    generateBundle(_, bundle) {
      const total = { own: 0, runtime: 0 };
      for (const file of Object.values(bundle)) {
        const { size } = new Blob([file.type === "chunk" ? file.code : (file.source as BlobPart)]);
        total[file.fileName.includes("/ort") ? "runtime" : "own"] += size;
      }
      this.emitFile({ type: "asset", fileName: FILE, source: JSON.stringify(total) });
    },
  };
}

/** A sentence about them; empty on a server that builds as it goes. */
export async function readSizes(): Promise<string> {
  const response = await fetch(FILE);
  if (!response.ok) return "";
  const { own, runtime } = (await response.json()) as Sizes;
  const [kilobytes, megabytes] = [(own / 1e3).toFixed(0), (runtime / 1e6).toFixed(1)];
  return `This page's own code is ${kilobytes} kB; ONNX Runtime's, loaded when a model is first run, ${megabytes} MB.`;
}
