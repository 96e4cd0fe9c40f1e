/** The language of this build. The app is built once per language, and the build puts each one here. */
export { default as texts } from "./en.ts";
export const language = "en";
