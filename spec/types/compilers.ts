import path from 'node:path';
import ts from 'typescript';
import ts54 from 'typescript-5.4';
import ts58 from 'typescript-5.8';

type Compiler = typeof ts;

/** The oldest, one in between, and the newest compiler that is supported; of each, the part of its API that is used. */
export const COMPILERS: ReadonlyMap<string, Compiler> = new Map([
  ['5.4', ts54 as unknown as Compiler],
  ['5.8', ts58 as unknown as Compiler],
  ['6.0', ts],
]);

const ROOT = path.join(__dirname, '..', '..');

/** Of the declarations that users get; `buildLibrary` makes them. */
const DECLARATIONS = path.join(ROOT, 'dist');

/** One compiler that reads the declarations. What it has parsed once it keeps for the next program. */
export class DeclarationsReader {
  readonly #compiler: Compiler;
  readonly #options: ts.CompilerOptions;
  readonly #parsed = new Map<string, ts.SourceFile | undefined>();

  constructor(compiler: Compiler) {
    this.#compiler = compiler;
    this.#options = {
      target: compiler.ScriptTarget.ES2022,
      lib: ['lib.es2022.d.ts'],
      module: compiler.ModuleKind.Node16,
      moduleResolution: compiler.ModuleResolutionKind.Node16,
      types: ['node'],
      strict: true,
      noUncheckedIndexedAccess: true,
      experimentalDecorators: true,
      emitDecoratorMetadata: true,
      esModuleInterop: true,
      skipLibCheck: true,
      noEmit: true,
      paths: {
        '@venta/events': [path.join(DECLARATIONS, 'index.d.ts')],
        '@venta/events/testing': [path.join(DECLARATIONS, 'testing', 'index.d.ts')],
      },
    };
  }

  /** What the compiler says of these files, a `@ts-expect-error` without an error included. */
  judge(files: readonly string[]): string {
    const program = this.#program(files);
    return textOf(
      files.flatMap((file) => this.#compiler.getPreEmitDiagnostics(program, program.getSourceFile(file))),
      this.#compiler,
    );
  }

  /** What the compiler says of this text, as if it were a file here. */
  judgeText(text: string): string {
    return this.measure(text).said;
  }

  /**
   * What the compiler says of this text, and what it took to find out: the counts are the same at every run, the
   * seconds are of the processor, which others may share.
   */
  measure(text: string): { said: string; types: number; instantiations: number; seconds: number } {
    const file = path.join(__dirname, 'text.ts');
    const program = this.#program([file], new Map([[file, text]]));
    const before = process.cpuUsage();
    const diagnostics = program.getSemanticDiagnostics(program.getSourceFile(file));
    return {
      seconds: process.cpuUsage(before).user / 1_000_000,
      said: textOf(diagnostics, this.#compiler),
      types: program.getTypeCount(),
      instantiations: program.getInstantiationCount(),
    };
  }

  /** What the compiler says of the declarations themselves, for those who compile without `skipLibCheck`. */
  judgeDeclarations(): string {
    const entries = ['index.d.ts', path.join('testing', 'index.d.ts')];
    const program = this.#program(
      entries.map((entry) => path.join(DECLARATIONS, entry)),
      new Map(),
      { skipLibCheck: false },
    );
    const ours = program.getSourceFiles().filter(({ fileName }) => fileName.startsWith(DECLARATIONS));
    if (ours.length < entries.length) throw new Error('the program does not contain the declarations');
    return textOf(
      [...program.getOptionsDiagnostics(), ...ours.flatMap((file) => program.getSemanticDiagnostics(file))],
      this.#compiler,
    );
  }

  #program(
    files: readonly string[],
    texts = new Map<string, string>(),
    more: ts.CompilerOptions = {},
  ): ts.Program {
    const options = { ...this.#options, ...more };
    const host = this.#compiler.createCompilerHost(options);
    const [parse, exists] = [host.getSourceFile.bind(host), host.fileExists.bind(host)];
    host.fileExists = (file) => texts.has(file) || exists(file);
    host.getSourceFile = (file, target, ...rest) => {
      const text = texts.get(file);
      if (text !== undefined) return this.#compiler.createSourceFile(file, text, target);
      if (!this.#parsed.has(file)) this.#parsed.set(file, parse(file, target, ...rest));
      return this.#parsed.get(file);
    };
    return this.#compiler.createProgram(files, options, host);
  }
}

function textOf(diagnostics: readonly ts.Diagnostic[], compiler: Compiler): string {
  return compiler.formatDiagnostics(diagnostics, {
    getCanonicalFileName: (name) => name,
    getCurrentDirectory: () => ROOT,
    getNewLine: () => '\n',
  });
}
