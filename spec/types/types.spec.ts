import { readdirSync } from 'node:fs';
import path from 'node:path';
import ts from 'typescript';

// A program takes seconds to check.
jest.setTimeout(120_000);

// `EventMap` is augmented for a whole program, so that each case needs one of its own: a folder with a tsconfig.
const programs = readdirSync(__dirname, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map(({ name }) => name);

const host: ts.FormatDiagnosticsHost = {
  getCanonicalFileName: (name) => name,
  getCurrentDirectory: () => __dirname,
  getNewLine: () => '\n',
};

// The files that the programs share are read once.
const read = new Map<string, ts.SourceFile | undefined>();

/** What the compiler says of the program, a `@ts-expect-error` without an error included. */
function diagnosticsOf(program: string): string {
  const config = ts.getParsedCommandLineOfConfigFile(
    path.join(__dirname, program, 'tsconfig.json'),
    undefined,
    {
      ...ts.sys,
      onUnRecoverableConfigFileDiagnostic: (diagnostic) => {
        throw new Error(ts.formatDiagnostic(diagnostic, host));
      },
    },
  );
  if (config === undefined || config.fileNames.length === 0) throw new Error(`${program} has no files`);
  const compilerHost = ts.createCompilerHost(config.options);
  const parse = compilerHost.getSourceFile.bind(compilerHost);
  compilerHost.getSourceFile = (file, ...rest) => {
    if (!file.includes('/node_modules/typescript/lib/')) return parse(file, ...rest);
    if (!read.has(file)) read.set(file, parse(file, ...rest));
    return read.get(file);
  };
  const made = ts.createProgram(config.fileNames, config.options, compilerHost);
  // Not of our own sources, which their users see as declarations: with another `EventMap` these need not compile.
  const diagnostics = config.fileNames.flatMap((file) =>
    ts.getPreEmitDiagnostics(made, made.getSourceFile(file)),
  );
  return ts.formatDiagnostics([...config.errors, ...diagnostics], host);
}

describe('what compiles and what does not', () => {
  it('has programs to look at', () => {
    expect(programs).toEqual(
      expect.arrayContaining(['contracts-list', 'contracts-record', 'loose', 'map', 'testing']),
    );
  });

  it.each(programs)('is as the program "%s" says', (program) => {
    expect(diagnosticsOf(program)).toBe('');
  });
});
