/**
 * Checks the documentation: every `ts` block of the Markdown files compiles against lib/, every block that names a file
 * equals it, every relative link leads somewhere.
 *
 *   node scripts/docs.mjs           exit code 1 and file:line of what is wrong
 *   node scripts/docs.mjs --write   first copies named files into their blocks
 *
 * A block is a module of its own, compiled as it stands; `events` is an EventService it need not declare. A comment
 * before a block can say more:
 *
 *   <!-- docs: file samples/quickstart/main.ts -->   the block is this file, to the letter
 *   <!-- docs: skip because … -->                    the block is no code
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

const ROOT = path.join(path.dirname(fileURLToPath(import.meta.url)), '..');
const OUT = path.join(ROOT, '.cache', 'docs');
const PRELUDE = `declare const events: import('@venta/events').EventService;\n`;

/**
 * @typedef {{ file: string, line: number, indent: string, code: string, language: string, directive: string }} Block
 *   `line` is that of the first line of code, counted from 1; `directive` what the comment before it says
 * @typedef {{ file: string, text: string, blocks: Block[], prose: string[] }} Page
 *   `prose` has the lines of the file, empty where they are code
 */

const slashed = (file) => file.split(path.sep).join('/');

/** All but the API reports, which are made, not written. */
function markdownFiles() {
  const top = readdirSync(ROOT).filter((name) => name.endsWith('.md'));
  const docs = readdirSync(path.join(ROOT, 'docs'), { recursive: true })
    .filter((name) => name.endsWith('.md') && !name.endsWith('.api.md'))
    .map((name) => slashed(path.join('docs', name)));
  return [...top, ...docs].sort();
}

/** @returns {Page} */
function read(file) {
  const text = readFileSync(path.join(ROOT, file), 'utf8');
  const lines = text.split('\n');
  const page = { file, text, blocks: [], prose: [] };
  let directive = '';
  for (let i = 0; i < lines.length; i++) {
    const [, indent, fence, language] = /^(\s*)(`{3,}|~{3,})\s*([\w-]*)/.exec(lines[i]) ?? [];
    if (fence === undefined) {
      const said = /^\s*<!-- docs: (.*?) -->\s*$/.exec(lines[i]);
      if (said) directive = said[1];
      else if (lines[i].trim() !== '') directive = '';
      page.prose.push(lines[i].replace(/(`+)(?!`)[^]*?\1/g, ''));
      continue;
    }
    const start = i + 1;
    do page.prose.push('');
    while (++i < lines.length && lines[i].trim() !== fence);
    page.prose.push('');
    const code = lines
      .slice(start, i)
      .map((line) => (line.startsWith(indent) ? line.slice(indent.length) : line));
    page.blocks.push({ file, line: start + 1, indent, code: code.join('\n'), language, directive });
    directive = '';
  }
  return page;
}

// ---------------------------------------------------------------------------------------------- code

/** Blocks that augment `EventMap` change it for their whole program, so each has one to itself; the others share one. */
function compile(blocks) {
  rmSync(OUT, { recursive: true, force: true });
  mkdirSync(OUT, { recursive: true });
  const prelude = path.join(OUT, 'prelude.d.ts');
  writeFileSync(prelude, PRELUDE);
  // An ES module may await at its top level, as snippets do.
  const byFile = new Map(
    blocks.map((block) => {
      const name = `${block.file.replace(/\.md$/, '').replace(/[^\w]+/g, '-')}-${block.line}.mts`;
      const file = path.join(OUT, name);
      writeFileSync(file, `${block.code}\n`);
      return [slashed(file), block];
    }),
  );
  const files = [...byFile.keys()];
  const augments = (file) => /declare module '@venta\/events'/.test(byFile.get(file).code);
  const groups = [files.filter((file) => !augments(file)), ...files.filter(augments).map((file) => [file])];

  const options = compilerOptions();
  const host = cachingHost(options);
  const failures = [];
  for (const group of groups) {
    if (group.length === 0) continue;
    const program = ts.createProgram({ rootNames: [prelude, ...group], options, host });
    const diagnostics = [
      ...program.getOptionsDiagnostics(),
      ...program.getGlobalDiagnostics(),
      ...group.flatMap((file) => {
        const source = program.getSourceFile(file);
        return [...program.getSyntacticDiagnostics(source), ...program.getSemanticDiagnostics(source)];
      }),
    ];
    for (const diagnostic of diagnostics) failures.push(failureOf(diagnostic, byFile));
  }
  return failures;
}

function compilerOptions() {
  const config = path.join(ROOT, 'tsconfig.json');
  const { options } = ts.parseJsonConfigFileContent(
    ts.readConfigFile(config, ts.sys.readFile).config,
    ts.sys,
    ROOT,
  );
  return { ...options, noEmit: true, declaration: false, declarationMap: false, sourceMap: false };
}

/** Parses each file once, whatever the number of programs it is part of. */
function cachingHost(options) {
  const host = ts.createCompilerHost(options);
  const sources = new Map();
  const parse = host.getSourceFile.bind(host);
  host.getSourceFile = (file, ...rest) => {
    if (!sources.has(file)) sources.set(file, parse(file, ...rest));
    return sources.get(file);
  };
  const resolutions = ts.createModuleResolutionCache(ROOT, host.getCanonicalFileName, options);
  host.getModuleResolutionCache = () => resolutions;
  return host;
}

function failureOf({ file, start, messageText }, byFile) {
  const message = ts.flattenDiagnosticMessageText(messageText, '\n  ');
  const block = file && byFile.get(file.fileName);
  if (!block) return { where: file ? slashed(path.relative(ROOT, file.fileName)) : 'tsconfig.json', message };
  const { line, character } = file.getLineAndCharacterOfPosition(start);
  return { where: `${block.file}:${block.line + line}:${character + 1 + block.indent.length}`, message };
}

// ---------------------------------------------------------------------------------------------- copies of files

const namedFile = ({ directive }) => /^file (\S+)$/.exec(directive)?.[1];

function contentOf(name) {
  try {
    return readFileSync(path.join(ROOT, name), 'utf8').trimEnd();
  } catch {
    return undefined;
  }
}

function compareCopies(blocks) {
  return blocks.flatMap((block) => {
    const name = namedFile(block);
    if (name === undefined) return [];
    const content = contentOf(name);
    const where = `${block.file}:${block.line}`;
    if (content === undefined)
      return [{ where, message: `the block is to be ${name}, which does not exist` }];
    if (content === block.code.trimEnd()) return [];
    return [{ where, message: `the block differs from ${name}: run \`node scripts/docs.mjs --write\`` }];
  });
}

function copyFiles(pages) {
  for (const { file, text, blocks } of pages) {
    const lines = text.split('\n');
    // From the last to the first, so that the lines before keep their numbers.
    for (const block of blocks.toReversed()) {
      const content = namedFile(block) && contentOf(namedFile(block));
      if (!content) continue;
      const copy = content.split('\n').map((line) => (line === '' ? '' : block.indent + line));
      lines.splice(block.line - 1, block.code.split('\n').length, ...copy);
    }
    writeFileSync(path.join(ROOT, file), lines.join('\n'));
  }
}

// ---------------------------------------------------------------------------------------------- links

/** The anchors of a page's headings, as GitHub makes them. */
function anchorsOf({ text }) {
  const anchors = new Set();
  let inCode = false;
  for (const line of text.split('\n')) {
    if (/^\s*(```|~~~)/.test(line)) inCode = !inCode;
    const [, heading] = (!inCode && /^#{1,6}\s+(.*?)\s*#*$/.exec(line)) || [];
    if (heading === undefined) continue;
    const plain = heading.replace(/\[([^\]]*)\]\([^)]*\)/g, '$1').replace(/[`*]/g, '');
    const slug = plain
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, '')
      .replace(/\s/g, '-');
    let anchor = slug;
    for (let n = 1; anchors.has(anchor); n++) anchor = `${slug}-${n}`;
    anchors.add(anchor);
  }
  return anchors;
}

function linksOf({ file, prose }) {
  return prose.flatMap((line, i) =>
    [...line.matchAll(/\]\(\s*<?([^)\s>]+)>?[^)]*\)|^\s*\[[^\]]+\]:\s*(\S+)/g)]
      .map(([, inline, reference]) => ({ where: `${file}:${i + 1}`, target: inline ?? reference }))
      .filter(({ target }) => !/^[a-z][a-z\d+.-]*:/i.test(target)),
  );
}

function checkLink({ where, target }, file, anchors) {
  const [to, anchor] = target.split('#');
  const page = to === '' ? file : slashed(path.join(path.dirname(file), decodeURI(to)));
  const missing = { where, message: `the link to ${target} leads nowhere` };
  if (page.startsWith('..') || to.startsWith('/')) return [missing];
  if (!statSync(path.join(ROOT, page), { throwIfNoEntry: false })) return [missing];
  if (anchor === undefined) return [];
  return anchors.get(page)?.has(anchor) ? [] : [{ where, message: `${page} has no heading #${anchor}` }];
}

// ---------------------------------------------------------------------------------------------- all of it

const readAll = () => markdownFiles().map(read);
if (process.argv.includes('--write')) copyFiles(readAll());

const pages = readAll();
const anchors = new Map(pages.map((page) => [page.file, anchorsOf(page)]));
const links = pages.flatMap((page) => linksOf(page).map((link) => ({ link, file: page.file })));
const code = pages
  .flatMap(({ blocks }) => blocks)
  .filter(({ language }) => /^(ts|typescript)$/.test(language));
const blocks = code.filter(({ directive }) => !/^skip because \S/.test(directive));
const copies = pages.flatMap((page) => page.blocks).filter(namedFile);

const failures = [
  ...compile(blocks),
  ...compareCopies(copies),
  ...links.flatMap(({ link, file }) => checkLink(link, file, anchors)),
];
for (const { where, message } of failures) process.stderr.write(`${where}: ${message}\n`);

const checks = blocks.length + copies.length + links.length;
const failed = new Set(failures.map(({ where, message }) => `${where} ${message}`)).size;
process.stdout.write(
  `docs: ${blocks.length} code blocks (${code.length - blocks.length} skipped), ${copies.length} copies of files, ` +
    `${links.length} links: ${Math.max(0, checks - failed)} passed, ${failed} failed\n`,
);
process.exitCode = failures.length === 0 ? 0 : 1;
