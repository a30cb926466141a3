import { defineConfig } from "vite";
import { countSizes } from "./sizes.js";

export default defineConfig({
  // The built page may lie in any folder of any server.
  base: "./",
  // What is not there is an error, and not this page.
  appType: "mpa",
  // What ../javascript imports lies in this folder's packages.
  resolve: { dedupe: ["@petamoriken/float16", "zod"] },
  build: { target: "es2023" },
  plugins: [countSizes()],
  server: { fs: { allow: [".."] } },
});
