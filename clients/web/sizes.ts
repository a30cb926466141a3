/** How many bytes the page's own code has, and the runtimes': counted when the page is built, shown at its end. */

import type { Plugin } from "vite";

const FILE = "sizes.json";

/** `wasm` and `webgpu` are what is loaded when a model is first run there. */
interface Sizes {
  readonly own: number;
  readonly wasm: number;
  readonly webgpu: number;
}

/** Counts the files of a build, without the example. */
export function countSizes(): Plugin {
  return {
    name: "sizes",
    enforce: "post",
    generateBundle(_, bundle) {
      const total = { own: 0, wasm: 0, webgpu: 0 };
      for (const file of Object.values(bundle)) {
        const { size } = new Blob([file.type === "chunk" ? file.code : (file.source as BlobPart)]);
        total[owner(file.fileName)] += size;
      }
      this.emitFile({ type: "asset", fileName: FILE, source: JSON.stringify(total) });
    },
  };
}

function owner(file: string): keyof Sizes {
  if (!file.includes("/ort")) return "own";
  return /webgpu|asyncify/.test(file) ? "webgpu" : "wasm";
}

/** A sentence about them; empty on a server that builds as it goes. */
export async function readSizes(): Promise<string> {
  const response = await fetch(FILE);
  if (!response.ok) return "";
  const { own, wasm, webgpu } = (await response.json()) as Sizes;
  const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`;
  return (
    `This page's own code is ${(own / 1e3).toFixed(0)} kB; ONNX Runtime's, loaded when a model is first run, ` +
    `${megabytes(wasm)} for WebAssembly and ${megabytes(webgpu)} for WebGPU.`
  );
}
