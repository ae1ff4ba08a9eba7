/**
 * The package as users get it: packed, looked through, and installed with plain `npm install` into a Nest 11 CommonJS
 * application and a Nest 12 ESM application in temporary folders. Both compile and run spec/acceptance/app on a real
 * server; Vitest runs spec/acceptance/vitest.
 *
 *   node scripts/acceptance.mjs           all of it
 *   node scripts/acceptance.mjs --keep    leaves the folders and says where they are
 */
import { spawn } from 'node:child_process';
import { cp, mkdir, mkdtemp, readFile, realpath, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { npmCommand, ROOT, setup, SIGNALS, startNatsServer } from './setup.mjs';
import { problemsOf } from './tarball.mjs';

const SPEC = path.join(ROOT, 'spec', 'acceptance');
const TIME_LIMIT_MS = 240_000;

const project = JSON.parse(await readFile(path.join(ROOT, 'package.json'), 'utf8'));
const {
  '@types/node': nodeTypes,
  'reflect-metadata': metadata,
  rxjs,
  typescript,
  zod,
} = project.devDependencies;
const nest = (range) =>
  Object.fromEntries(['common', 'core', 'microservices'].map((name) => [`@nestjs/${name}`, range]));

const COMPILER_OPTIONS = {
  target: 'ES2022',
  strict: true,
  experimentalDecorators: true,
  emitDecoratorMetadata: true,
  esModuleInterop: true,
  rootDir: 'src',
  outDir: 'out',
  types: ['node'],
  // Declarations too: ours, and whether they fit those of Nest.
  skipLibCheck: false,
};

/** @typedef {{ name: string, manifest: object, compilerOptions: object, vitest?: boolean }} Application */
/** @type {Application[]} */
const APPLICATIONS = [
  {
    name: 'nest-11-commonjs',
    manifest: {
      type: 'commonjs',
      dependencies: { ...nest('^11.0.0'), 'reflect-metadata': metadata, rxjs, zod },
      // With the resolution of types that Nest 11 generates projects with; newer compilers call it deprecated.
      devDependencies: { '@types/node': nodeTypes, typescript: '~5.8.0' },
    },
    compilerOptions: {
      ...COMPILER_OPTIONS,
      module: 'commonjs',
      moduleResolution: 'node10',
    },
  },
  {
    name: 'nest-12-esm',
    manifest: {
      type: 'module',
      dependencies: { ...nest('^12.0.0'), 'reflect-metadata': metadata, rxjs, zod },
      // Vitest 4 is the newest that runs on Node 20.
      devDependencies: {
        '@nestjs/testing': '^12.0.0',
        '@types/node': nodeTypes,
        typescript,
        vitest: '^4.0.0',
      },
    },
    compilerOptions: { ...COMPILER_OPTIONS, module: 'nodenext' },
    vitest: true,
  },
];

async function main() {
  const given = process.argv.slice(2);
  const unknown = given.find((argument) => argument !== '--keep');
  if (unknown) throw new Error(`Unknown option ${unknown}; there is --keep.`);
  await setup();

  let interrupted;
  for (const signal of SIGNALS) process.on(signal, () => (interrupted = signal));
  // With its real path: Node reports that one, where the temporary folder is a link.
  const folder = await realpath(await mkdtemp(path.join(os.tmpdir(), 'venta-acceptance-')));
  try {
    const packed = await pack(folder);
    let passed = true;
    const step = async (name, work) => {
      if (!interrupted) passed = (await reported(name, work)) && passed;
    };
    await step('publint', () => node('publint', packed.tarball, '--strict'));
    await step('are the types wrong', () => node('@arethetypeswrong/cli', packed.tarball, '--no-color'));
    for (const application of APPLICATIONS)
      await step(`${application.name}: npm install`, () => install(application, folder, packed));
    await step('what is in the package, and where its maps lead', () => lookThrough(folder, packed));
    await withServer(async (url) => {
      for (const application of APPLICATIONS) await runAll(application, folder, url, step);
    });
    if (interrupted) return 128 + os.constants.signals[interrupted];
    return passed ? 0 : 1;
  } finally {
    if (given.includes('--keep')) process.stdout.write(`The folders are in ${folder}\n`);
    else await rm(folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

// ---------------------------------------------------------------------------------------------- steps

/** Without the script that builds: `setup` has built. */
async function pack(folder) {
  const output = await npm(ROOT, 'pack', '--json', '--ignore-scripts', '--pack-destination', folder);
  const listed = JSON.parse(output);
  const { filename, files, bundled, size } = Array.isArray(listed) ? listed[0] : Object.values(listed)[0];
  process.stdout.write(`packed  ${filename}, ${files.length} files, ${(size / 1_000).toFixed(0)} kB\n`);
  return { tarball: path.join(folder, filename), files: files.map((file) => file.path), bundled };
}

async function install({ name, manifest, compilerOptions, vitest }, folder, { tarball }) {
  const at = path.join(folder, name);
  await mkdir(at);
  await cp(path.join(SPEC, 'app'), path.join(at, 'src'), {
    recursive: true,
    filter: (file) => path.basename(file) !== 'tsconfig.json',
  });
  if (vitest) {
    await cp(path.join(SPEC, 'vitest'), path.join(at, 'vitest'), { recursive: true });
    // Vitest reads there that decorators are those of Nest.
    await writeJson(path.join(at, 'vitest'), 'tsconfig.json', { compilerOptions });
  }
  const dependencies = { ...manifest.dependencies, [project.name]: `file:${tarball}` };
  await writeJson(at, 'package.json', { name, private: true, ...manifest, dependencies });
  await writeJson(at, 'tsconfig.json', { compilerOptions, include: ['src'] });
  const said = await npm(at, 'install');
  if (/ERESOLVE/.test(said)) throw new Error(`npm found a conflict of versions:\n${said}`);
  const installed = Object.keys(manifest.dependencies).filter((dependency) =>
    dependency.startsWith('@nestjs/'),
  );
  const versions = installed.map(
    async (dependency) => `${dependency} ${(await manifestOf(dependency, at)).version}`,
  );
  return (await Promise.all(versions)).join(', ');
}

async function lookThrough(folder, packed) {
  for (const { name } of APPLICATIONS) {
    const problems = problemsOf(packed, path.join(folder, name, 'node_modules', project.name));
    if (problems.length > 0) throw new Error(problems.join('\n'));
  }
}

async function runAll({ name, vitest }, folder, url, step) {
  const at = path.join(folder, name);
  const tool = async (name, ...args) => {
    await run(process.execPath, [await binary(name, at), ...args], { cwd: at });
  };
  await step(`${name}: compile`, () => tool('typescript', '-p', '.'));
  await step(`${name}: run`, () =>
    run(process.execPath, ['--enable-source-maps', 'out/main.js'], { cwd: at, env: { NATS_URL: url } }),
  );
  if (vitest) await step(`${name}: Vitest`, () => tool('vitest', 'run', '--globals', '--dir', 'vitest'));
}

/** @returns {Promise<boolean>} whether the work was done; prints so, and what it said or what went wrong */
async function reported(name, work) {
  const started = performance.now();
  let said = '';
  let failure;
  try {
    said = (await work()) ?? '';
  } catch (error) {
    failure = error;
    said = error.message;
  }
  const seconds = ((performance.now() - started) / 1_000).toFixed(1);
  process.stdout.write(`${failure ? 'FAILED' : 'ok    '}  ${name}, ${seconds} s\n`);
  if (said !== '') process.stdout.write(`${said.trimEnd().replace(/^/gm, '          ')}\n`);
  return failure === undefined;
}

async function withServer(work) {
  const server = await startNatsServer();
  try {
    process.stdout.write(`server  nats-server ${server.version}\n`);
    await work(server.url);
  } finally {
    await server.stop();
  }
}

// ---------------------------------------------------------------------------------------------- commands

async function npm(cwd, ...args) {
  const { command, options } = npmCommand();
  return run(command[0], [...command.slice(1), ...args], { cwd, ...options });
}

/** Runs a tool of the project's own. */
async function node(name, ...args) {
  await run(process.execPath, [await binary(name, ROOT), ...args], { cwd: ROOT });
}

/** The script behind the only, or the first, command of an installed package. */
async function binary(name, from) {
  const { bin } = await manifestOf(name, from);
  // typescript has two: `tsc` and `tsserver`.
  return path.join(
    from,
    'node_modules',
    name,
    typeof bin === 'string' ? bin : (bin.tsc ?? Object.values(bin)[0]),
  );
}

const manifestOf = async (name, from) =>
  JSON.parse(await readFile(path.join(from, 'node_modules', name, 'package.json'), 'utf8'));

/** Resolves with what it printed; rejects with that when it fails. */
function run(command, args, { cwd, env = {}, ...options }) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd,
      env: { ...cleanEnvironment(), ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: TIME_LIMIT_MS,
      ...options,
    });
    const [out, all] = [[], []];
    child.stdout.on('data', (chunk) => [out, all].forEach((list) => list.push(chunk)));
    child.stderr.on('data', (chunk) => all.push(chunk));
    child.once('error', reject);
    child.once('close', (code, signal) => {
      const said = Buffer.concat(all).toString();
      if (code === 0) return resolve(args.includes('--json') ? Buffer.concat(out).toString() : said);
      return reject(new Error(`${said}\nended with ${signal ?? `exit code ${code}`}`));
    });
  });
}

/**
 * The environment of somebody who types the command: not that of the npm that runs this, not servers of this shell, and
 * not the settings that make npm overlook conflicts.
 */
function cleanEnvironment() {
  const foreign =
    /^(NATS_|EVENT_|APP_NAME$|npm_(?!config_)|npm_config_(local_prefix|dry_run|json|ignore_scripts)$|INIT_CWD$)/i;
  return {
    ...Object.fromEntries(Object.entries(process.env).filter(([key]) => !foreign.test(key))),
    npm_config_legacy_peer_deps: 'false',
    npm_config_force: 'false',
    npm_config_audit: 'false',
    npm_config_fund: 'false',
    NO_COLOR: '1',
  };
}

const writeJson = (folder, name, content) =>
  writeFile(path.join(folder, name), `${JSON.stringify(content, null, 2)}\n`);

main().then(
  (code) => process.exit(code),
  (error) => {
    process.stderr.write(`${error.message}\n`);
    process.exit(1);
  },
);
