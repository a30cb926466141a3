import { defineConfig } from "vite";
import { countSizes } from "./sizes.js";

export default defineConfig({
  // The built page may lie in any folder of any server.
  base: "./",
  // What is not there is an error, and not this page.
  appType: "mpa",
  build: { target: "es2023" },
  plugins: [countSizes()],
  server: { fs: { allow: [".."] } },
});
