/**
 * The API report: the public surface as its declarations say it, in docs/api/, so that every change of it is a diff.
 *
 *   npm run api              writes docs/api/*.api.md from what is built
 *   npm run api -- --check   fails, and prints the difference, where they are not what is built
 */
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { Extractor, ExtractorConfig } from '@microsoft/api-extractor';
import { linesThatDiffer } from './line-diff.mjs';
import { ROOT, setup } from './setup.mjs';

const REPORTS = path.join(ROOT, 'docs', 'api');
const BUILT = path.join(ROOT, '.cache', 'api');
const ENTRIES = { events: 'dist/index.d.ts', testing: 'dist/testing/index.d.ts' };

const options = process.argv.slice(2);
const unknown = options.find((option) => option !== '--check');
if (unknown) throw new Error(`Unknown option ${unknown}; there is --check.`);
const check = options.includes('--check');

await setup();
// The compiler looks for `@types/node` from here.
process.chdir(ROOT);
rmSync(BUILT, { recursive: true, force: true });
for (const folder of [REPORTS, BUILT]) mkdirSync(folder, { recursive: true });

const results = Object.entries(ENTRIES).map(([name, entry]) => report(name, entry));
process.exitCode = results.every(Boolean) ? 0 : 1;

/** @returns {boolean} whether all is well */
function report(name, entry) {
  const file = `${name}.api.md`;
  const accepted = read(path.join(REPORTS, file));
  const built = extract(file, entry);
  if (built === undefined) return false;
  if (accepted === built) {
    process.stdout.write(`ok      docs/api/${file} is what ${entry} says\n`);
    return true;
  }
  const difference = linesThatDiffer(accepted.split('\n'), built.split('\n'));
  process.stdout.write(
    check
      ? `FAILED  the public surface of ${entry} is not that of docs/api/${file}; if that is meant: npm run api\n`
      : `wrote   docs/api/${file}\n`,
  );
  if (accepted !== '' || check)
    process.stdout.write(difference.map((line) => `          ${line}\n`).join(''));
  return !check;
}

/** What the report is to say; undefined when the declarations do not compile. */
function extract(reportFileName, entry) {
  const none = { default: { logLevel: 'none' } };
  const config = ExtractorConfig.prepare({
    configObject: {
      projectFolder: ROOT,
      mainEntryPointFilePath: path.join(ROOT, entry),
      compiler: { tsconfigFilePath: path.join(ROOT, 'tsconfig.build.json') },
      apiReport: {
        enabled: true,
        reportFileName,
        reportFolder: check ? BUILT : REPORTS,
        reportTempFolder: BUILT,
        // A type that is not exported and that an exported one uses is as public as that one.
        includeForgottenExports: true,
      },
      docModel: { enabled: false },
      dtsRollup: { enabled: false },
      tsdocMetadata: { enabled: false },
      newlineKind: 'lf',
      // What is public is what lib/index.ts exports; there are no release tags.
      messages: {
        compilerMessageReporting: { default: { logLevel: 'error' } },
        extractorMessageReporting: none,
        tsdocMessageReporting: none,
      },
    },
    configObjectFullPath: undefined,
    packageJsonFullPath: path.join(ROOT, 'package.json'),
  });
  const { errorCount } = Extractor.invoke(config, {
    localBuild: true,
    messageCallback: (message) => {
      message.handled = true;
      if (message.logLevel === 'error') process.stderr.write(`${message.formatMessageWithLocation(ROOT)}\n`);
    },
  });
  return errorCount === 0 ? read(path.join(BUILT, reportFileName)) : undefined;
}

/** The text of a report; empty where there is none. */
function read(file) {
  try {
    return readFileSync(file, 'utf8').replaceAll('\r\n', '\n');
  } catch {
    return '';
  }
}
