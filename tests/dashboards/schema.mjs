// Checks dashboards against `Board` of board.d.ts: `node schema.mjs farm.json ...`. JSON is given to the compiler as a
// literal, because what it imports as JSON loses the difference between "stat" and any other string.

import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import ts from "typescript";

const here = fileURLToPath(new URL(".", import.meta.url));
const options = {
  module: ts.ModuleKind.ESNext,
  moduleResolution: ts.ModuleResolutionKind.Node10,
  noEmit: true,
  skipLibCheck: true,
  strict: true,
  target: ts.ScriptTarget.ES2022,
  types: [],
};
const sources = new Map(
  process.argv.slice(2).map((path, index) => {
    const text = `import type { Board } from "./board";\nexport const board: Board = ${readFileSync(path, "utf8")};\n`;
    return [`${here}literal-${index}.ts`, { path, text }];
  }),
);

const host = ts.createCompilerHost(options);
const { fileExists, getSourceFile, readFile } = host;
host.fileExists = (name) => sources.has(name) || fileExists(name);
host.readFile = (name) => sources.get(name)?.text ?? readFile(name);
host.getSourceFile = (name, ...rest) =>
  sources.has(name) ? ts.createSourceFile(name, sources.get(name).text, rest[0]) : getSourceFile(name, ...rest);

const program = ts.createProgram([...sources.keys()], options, host);
for (const { file, start, messageText } of ts.getPreEmitDiagnostics(program)) {
  const source = file && sources.get(file.fileName);
  const line = file ? file.getLineAndCharacterOfPosition(start).line : 0;
  // The literal begins in the second line.
  const place = source ? `${source.path}:${line}` : `${file?.fileName ?? "typescript"}:${line + 1}`;
  console.error(`${place}: ${ts.flattenDiagnosticMessageText(messageText, "\n")}`);
  process.exitCode = 1;
}
if (sources.size === 0) throw new Error("name the dashboards to check");
