/** What `npm pack` puts into the package: what users need, nothing else, and every map leads to a file in it. */
import { readFileSync } from 'node:fs';
import path from 'node:path';

/** The one package that travels inside ours; see docs/adr/0001-run-time-dependencies.md. */
const BUNDLED = '@golevelup/nestjs-discovery';

const OURS = [
  /^(package\.json|README\.md|LICENSE|CHANGELOG\.md|CONTRIBUTING\.md)$/,
  // The README leads here.
  /^docs\/(?!api\/).+\.md$/,
  /^dist\/.+\.(js|js\.map|d\.ts|d\.ts\.map)$/,
  // The maps lead here: a debugger and "go to definition" show the source.
  /^lib\/.+\.ts$/,
];
const THEIRS = new RegExp(
  `^node_modules/${BUNDLED}/((package\\.json|README\\.md|LICENSE)|lib/.+\\.(js|d\\.ts)(\\.map)?)$`,
);
const REQUIRED = [
  ...['package.json', 'README.md', 'LICENSE', 'CHANGELOG.md'],
  ...['dist/index.js', 'dist/index.d.ts', 'dist/testing/index.js', 'dist/testing/index.d.ts'],
  ...[`node_modules/${BUNDLED}/package.json`, `node_modules/${BUNDLED}/LICENSE`],
];
/** What the compiler makes of one source. */
const OUTPUTS = ['.js', '.js.map', '.d.ts', '.d.ts.map'];

/**
 * @param {{ files: string[], bundled: string[] }} packed what npm says it packed; paths from the root of the package
 * @param {string} folder where it is unpacked
 * @returns {string[]} what is wrong
 */
export function problemsOf({ files, bundled }, folder) {
  const present = new Set(files);
  const sources = files.filter((file) => file.startsWith('lib/'));
  const outputs = sources.flatMap((file) =>
    OUTPUTS.map((extension) => file.replace(/^lib(.*)\.ts$/, `dist$1${extension}`)),
  );
  const made = new Set(outputs);
  const maps = files.filter((file) => /^dist\/.*\.map$/.test(file));
  return [
    ...files
      .filter((file) => ![...OURS, THEIRS].some((pattern) => pattern.test(file)))
      .map((file) => `${file} is of no use to users`),
    ...[...REQUIRED, ...outputs].filter((file) => !present.has(file)).map((file) => `${file} is missing`),
    ...files
      .filter((file) => file.startsWith('dist/') && !made.has(file))
      .map((file) => `${file} has no source in lib/`),
    ...(bundled.join() === BUNDLED ? [] : [`bundled are ${bundled.join() || 'none'}, not ${BUNDLED}`]),
    ...maps.flatMap((map) => problemsOfMap(map, present, folder)),
    ...files
      .filter((file) => file.endsWith('.md') && !file.startsWith('node_modules/'))
      .flatMap((file) => problemsOfLinks(file, files, folder)),
  ];
}

/** Links that lead to nothing in the package: whoever reads it there has no other files. */
function problemsOfLinks(page, files, folder) {
  const text = readFileSync(path.join(folder, page), 'utf8').replace(/```[^]*?```/g, '');
  return [...text.matchAll(/\]\(([^)\s#]+)[^)]*\)/g)]
    .map(([, target]) => target)
    .filter((target) => !/^[a-z]+:/.test(target))
    .map((target) => path.posix.join(path.posix.dirname(page), target))
    .filter(
      (target) => !files.some((file) => file === target || file.startsWith(target.replace(/\/?$/, '/'))),
    )
    .map((target) => `${page} leads to ${target}, which is not in the package`);
}

function problemsOfMap(map, present, folder) {
  const { sources, sourceRoot = '' } = JSON.parse(readFileSync(path.join(folder, map), 'utf8'));
  const output = map.replace(/\.map$/, '');
  const [, named] =
    /^\/\/# sourceMappingURL=(.+)$/m.exec(readFileSync(path.join(folder, output), 'utf8')) ?? [];
  return [
    ...(named === path.posix.basename(map) ? [] : [`${output} names the map ${named}, not ${map}`]),
    ...(sources.length > 0 ? [] : [`${map} has no source`]),
    ...sources
      .map((source) => path.posix.join(path.posix.dirname(map), sourceRoot, source))
      .filter((source) => !present.has(source))
      .map((source) => `${map} leads to ${source}, which is not in the package`),
  ];
}
