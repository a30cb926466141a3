/** The built page in Debian's chromium, with WebGPU in software. */

import { existsSync } from "node:fs";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { preview } from "vite";

const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";

const WEBGPU = [
  "--enable-unsafe-webgpu",
  "--use-webgpu-adapter=swiftshader",
  "--enable-features=Vulkan",
  "--use-vulkan=swiftshader",
];

/**
 * @param {{ webgpu?: boolean }} [options]
 * @returns {Promise<{ browser: import("playwright-core").Browser, url: string, close: () => Promise<void> }>}
 */
export async function start({ webgpu = true } = {}) {
  if (!existsSync(CHROMIUM)) {
    throw new Error(`There is no chromium at ${CHROMIUM}. Install it (make browser), or name one in CHROMIUM.`);
  }
  const root = join(import.meta.dirname, "..");
  // Vite ends the process with its standard input, unless it is told that nobody sits there.
  process.env.CI = "true";
  const server = await preview({ root, logLevel: "silent", preview: { port: 0, host: "127.0.0.1" } });
  const args = ["--no-sandbox", ...(webgpu ? WEBGPU : [])];
  const browser = await chromium.launch({ executablePath: CHROMIUM, args }).catch(async (error) => {
    await server.close();
    throw error;
  });
  const close = async () => {
    await browser.close();
    await server.close();
  };
  return { browser, url: server.resolvedUrls.local[0], close };
}
