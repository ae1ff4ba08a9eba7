/**
 * Finds the nats-server binaries the tests run against, and on Debian-family Linux fetches them, without root.
 *
 *   node scripts/nats-server.mjs any      one usable server
 *   node scripts/nats-server.mjs matrix   the oldest and the newest server to test with
 *
 * Prints JSON on stdout and progress on stderr. The order: NATS_SERVER_BIN, the PATH, then the Debian packages.
 */
import { execFile } from 'node:child_process';
import { accessSync, constants, existsSync, realpathSync, statSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const MINIMUM = '2.10';
const CACHE = path.join(path.dirname(fileURLToPath(import.meta.url)), '..', '.cache', 'nats-server');
const PACKAGE = 'nats-server';
const TRIES = 3;
const COMMAND_TIMEOUT_MS = 5 * 60_000;
const STALE_TEMP_MS = 60 * 60_000;

const HOW_TO_INSTALL = `Install nats-server ${MINIMUM} or newer and put it on the PATH:
  macOS:    brew install nats-server
  Windows:  winget install NATSAuthors.NATSServer, or scoop install nats-server
  Linux:    your distribution's nats-server package if it is new enough, or the release binary from the
            GitHub project nats-io/nats-server
Or set NATS_SERVER_BIN to the path of a nats-server binary.`;

/**
 * @typedef {{ path: string, version: string }} Server
 * @typedef {{ uri: string, suites: string[], components: string[], signedBy: string[], trusted: boolean }} Source
 */

/**
 * @param {{ need?: 'any' | 'matrix', log?: (line: string) => void }} [options]
 * @returns {Promise<{ oldest: Server, newest: Server }>} with `any`, the same server in both fields
 */
export async function findServers({ need = 'any', log = () => {} } = {}) {
  if (need !== 'any' && need !== 'matrix') throw new Error(`need must be 'any' or 'matrix', not '${need}'`);

  if (process.env.NATS_SERVER_BIN) return both(await serverFromEnv(process.env.NATS_SERVER_BIN));

  const onPath = await serverOnPath(log);
  const distribution = await debianFamily();
  if (onPath && (need === 'any' || !distribution || distribution.ubuntuLike)) return both(onPath);
  if (!distribution) throw new Error(`No usable nats-server was found.\n${HOW_TO_INSTALL}`);

  try {
    return await packagedServers(distribution, need, log);
  } catch (error) {
    throw new Error(
      `The nats-server packages could not be fetched with apt: ${error.message}\n${HOW_TO_INSTALL}`,
      { cause: error },
    );
  }
}

const both = (server) => ({ oldest: server, newest: server });

// ---------------------------------------------------------------------------------------------- versions

function compareVersions(a, b) {
  const parts = (version) => version.split(/[^0-9]+/, 3).map(Number);
  const [left, right] = [parts(a), parts(b)];
  for (let i = 0; i < 3; i++) {
    const difference = (left[i] ?? 0) - (right[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

const isNewEnough = (version) => compareVersions(version, MINIMUM) >= 0;

/** What the binary says about itself; undefined when it does not run here or is not a nats-server. */
async function versionOf(binary) {
  const { code, output } = await run(binary, ['--version'], { timeout: 20_000 });
  return code === 0 ? /nats-server:?\s+v?(\d+\.\d+\.\d+[\w.+-]*)/i.exec(output)?.[1] : undefined;
}

async function serverFromEnv(binary) {
  const resolved = path.resolve(binary);
  const wanted = `NATS_SERVER_BIN must be the path of a nats-server binary, version ${MINIMUM} or newer`;
  if (!existsSync(resolved)) throw new Error(`${wanted}: there is no file ${resolved}.`);
  const version = await versionOf(resolved);
  if (!version) throw new Error(`${wanted}: ${resolved} does not run or does not report a version.`);
  if (!isNewEnough(version)) throw new Error(`${wanted}: ${resolved} is version ${version}.`);
  return { path: resolved, version };
}

async function serverOnPath(log) {
  const names = process.platform === 'win32' ? ['nats-server.exe'] : ['nats-server'];
  const folders = (process.env.PATH ?? '').split(path.delimiter).filter(Boolean);
  // Debian installs the server where the PATH of a plain user often does not look.
  if (process.platform === 'linux') folders.push('/usr/local/sbin', '/usr/sbin');
  for (const folder of new Set(folders)) {
    for (const name of names) {
      const candidate = path.resolve(folder, name);
      if (!isExecutable(candidate)) continue;
      const version = await versionOf(candidate);
      if (version && isNewEnough(version)) return { path: candidate, version };
      log(
        `nats-server: ignoring ${candidate}, version ${version ?? 'unknown'}; ${MINIMUM} or newer is needed`,
      );
    }
  }
  return undefined;
}

function isExecutable(file) {
  try {
    accessSync(file, constants.X_OK);
    return statSync(file).isFile();
  } catch {
    return false;
  }
}

// ---------------------------------------------------------------------------------------------- Debian

/** The distribution when it is of the Debian family and has the tools used here. */
async function debianFamily() {
  if (process.platform !== 'linux') return undefined;
  const text = await readFile('/etc/os-release', 'utf8').catch(() => '');
  const fields = {};
  for (const [, key, value] of text.matchAll(/^([A-Z_]+)="?([^"\n]*)"?$/gm)) fields[key] = value;
  const ids = [fields.ID, ...(fields.ID_LIKE ?? '').split(/\s+/)];
  if (!ids.includes('debian') && !ids.includes('ubuntu')) return undefined;
  for (const [tool, option] of [
    ['apt-get', '--version'],
    ['dpkg-deb', '--version'],
  ]) {
    if ((await run(tool, [option])).code !== 0) return undefined;
  }
  return {
    codename: fields.VERSION_CODENAME,
    isDebian: fields.ID === 'debian',
    ubuntuLike: ids.includes('ubuntu'),
  };
}

async function packagedServers(distribution, need, log) {
  if (!distribution.ubuntuLike) {
    try {
      return need === 'matrix' ? await debianMatrix(distribution, log) : await debianAny(distribution, log);
    } catch (error) {
      // A derivative may carry none of Debian's suites: its own may still have a server that is new enough.
      if (distribution.isDebian) throw error;
    }
  }
  const server = await serverOfOwnSuites(distribution, log);
  if (need === 'matrix')
    log(`nats-server: only ${server.version} is to be had here, used as oldest and newest`);
  return both(server);
}

async function debianMatrix(distribution, log) {
  const servers = await debianServers(distribution, ['stable', 'unstable'], log);
  servers.sort((a, b) => compareVersions(a.version, b.version));
  return { oldest: servers[0], newest: servers[1] };
}

async function debianAny(distribution, log) {
  for (const suite of ['stable', 'unstable']) {
    const cached = await cachedServer(suite);
    if (cached) return both(cached);
  }
  try {
    return both((await debianServers(distribution, ['stable'], log))[0]);
  } catch (error) {
    log(`nats-server: nothing usable in stable (${error.message}), trying unstable`);
    return both((await debianServers(distribution, ['unstable'], log))[0]);
  }
}

async function debianServers(distribution, suites, log) {
  const cached = await Promise.all(suites.map(cachedServer));
  const missing = suites.filter((_, index) => !cached[index]);
  if (missing.length === 0) return cached;

  const mirrors = debianMirrors(await machineSources(), distribution.codename);
  if (mirrors.length === 0) throw new Error("the machine's apt sources name no mirror of the Debian archive");
  log(`nats-server: fetching the packages of Debian ${missing.join(' and ')}, once, into .cache/nats-server`);
  const fetched = await withTempFolder(async (temp) => {
    const keyrings = newerKeyrings(distribution, temp, log);
    const results = await Promise.allSettled(
      missing.map((suite) =>
        firstThatWorks(mirrors, (mirror, index) =>
          fetchServer({ mirror, suite, folder: path.join(temp, `${suite}-${index}`), keyrings, log }),
        ),
      ),
    );
    // Both have settled here: the temporary folder must not go away under a fetch that is still running.
    const failed = results.find((result) => result.status === 'rejected');
    if (failed) throw failed.reason;
    return results.map((result) => result.value);
  });
  return suites.map((suite, index) => cached[index] ?? fetched[missing.indexOf(suite)]);
}

/** For Ubuntu and other derivatives: whatever release the machine itself follows. */
async function serverOfOwnSuites({ codename }, log) {
  const mirrors = (await machineSources()).filter(
    ({ uri, suites, components }) =>
      !/security/.test(uri) &&
      (suites.includes(codename) || suites.includes(`${codename}-updates`)) &&
      components.some((component) => component === 'main' || component === 'universe'),
  );
  const suite = codename;
  const cached = await cachedServer(suite);
  if (cached) return cached;
  if (mirrors.length === 0) throw new Error("the machine's apt sources name no mirror of its own release");
  log(`nats-server: fetching the package of ${suite}, once, into .cache/nats-server`);
  return withTempFolder((temp) =>
    firstThatWorks(mirrors, (mirror, index) =>
      fetchServer({ mirror, suite, folder: path.join(temp, `${suite}-${index}`), log }),
    ),
  );
}

async function firstThatWorks(items, attempt) {
  let first;
  for (const [index, item] of items.entries()) {
    try {
      return await attempt(item, index);
    } catch (error) {
      // The first is the most likely mirror, so its error is the one to tell.
      first ??= error;
    }
  }
  throw first;
}

// ---------------------------------------------------------------------------------------------- apt sources

/** @returns {Promise<Source[]>} the enabled binary sources of the machine, in both of apt's formats */
async function machineSources() {
  // apt-config knows where they are, also when the machine's configuration has moved them.
  const { output } = await run('apt-config', [
    'shell',
    'LIST',
    'Dir::Etc::sourcelist/f',
    'PARTS',
    'Dir::Etc::sourceparts/d',
  ]);
  const list = /^LIST='(.*)'$/m.exec(output)?.[1] ?? '/etc/apt/sources.list';
  const parts = /^PARTS='(.*)'$/m.exec(output)?.[1] ?? '/etc/apt/sources.list.d/';
  const names = await readdir(parts).catch(() => []);
  const sources = [];
  for (const file of [list, ...names.sort().map((name) => path.join(parts, name))]) {
    const text = await readFile(file, 'utf8').catch(() => '');
    if (file.endsWith('.sources')) sources.push(...parseDeb822(text));
    else if (file.endsWith('.list')) sources.push(...parseOneLine(text));
  }
  return sources;
}

function parseDeb822(text) {
  const sources = [];
  const lines = text.split(/\r?\n/).filter((line) => !line.startsWith('#'));
  for (const stanza of lines.join('\n').split(/\n\s*\n/)) {
    const fields = {};
    for (const [, key, value] of stanza.matchAll(/^([\w-]+):((?:.*)(?:\n[ \t].*)*)/gm)) {
      fields[key.toLowerCase()] = value.trim();
    }
    const words = (key) => (fields[key] ?? '').split(/\s+/).filter(Boolean);
    if (/^(no|false|0|off|without|disable)$/i.test(fields.enabled ?? '')) continue;
    if (!words('types').includes('deb')) continue;
    for (const uri of words('uris')) {
      sources.push({
        uri,
        suites: words('suites'),
        components: words('components'),
        signedBy: keyringFiles(fields['signed-by']),
        trusted: /^yes$/i.test(fields.trusted ?? ''),
      });
    }
  }
  return sources;
}

function parseOneLine(text) {
  const sources = [];
  for (const line of text.split(/\r?\n/)) {
    const match = /^\s*deb\s+(?:\[([^\]]*)\]\s*)?(\S+)\s+(\S+)\s*([^#]*)/.exec(line);
    if (!match) continue;
    const [, options = '', uri, suite, components] = match;
    sources.push({
      uri,
      suites: [suite],
      components: components.split(/\s+/).filter(Boolean),
      signedBy: keyringFiles(/\bsigned-by=(\S+)/i.exec(options)?.[1]),
      trusted: /\btrusted=yes\b/i.test(options),
    });
  }
  return sources;
}

/** Only the key files: Signed-By may also hold fingerprints or a whole key. */
function keyringFiles(value) {
  return (value ?? '').split(/[\s,]+/).filter((word) => word.startsWith('/') && existsSync(word));
}

/** The main archive's mirrors among the sources, the most likely first. */
function debianMirrors(sources, codename) {
  const names = [codename, 'stable', 'testing', 'unstable', 'sid', 'oldstable'];
  const byUri = new Map();
  for (const source of sources) {
    if (/security/.test(source.uri) || !source.components.includes('main')) continue;
    if (!source.suites.some((suite) => names.includes(suite))) continue;
    if (!byUri.has(source.uri)) byUri.set(source.uri, source);
  }
  const looksRight = ({ uri }) => (/\/debian(\.list)?\/?$/.test(uri) ? 0 : 1);
  return [...byUri.values()].sort((a, b) => looksRight(a) - looksRight(b));
}

// ---------------------------------------------------------------------------------------------- fetching

/** The package of one suite, from the mirror into the cache. */
async function fetchServer({ mirror, suite, folder, keyrings, log }) {
  const options = { mirror, suites: [suite], name: PACKAGE, folder, log };
  let file;
  try {
    file = await fetchPackage(options);
  } catch (error) {
    if (!error.badSignature || !keyrings) throw error;
    file = await fetchPackage({
      ...options,
      folder: `${folder}-again`,
      extraKeyrings: await keyrings(mirror),
    });
  }
  return keepServer(suite, file, folder);
}

/**
 * A machine's keyring may be older than the keys that sign today's suites. The newer keyring package comes from
 * the machine's own release, which its own keyring still verifies: nothing is trusted that was not vouched for.
 */
function newerKeyrings(distribution, temp, log) {
  let pending;
  return (mirror) =>
    (pending ??= (async () => {
      log("nats-server: the machine's Debian keyring is too old, fetching the newer one");
      const folder = path.join(temp, 'keyring');
      const suites = mirror.suites.filter((suite) => !/security|backports/.test(suite));
      const options = { mirror, name: 'debian-archive-keyring', log };
      let file;
      try {
        file = await fetchPackage({
          ...options,
          folder,
          suites: [...new Set([distribution.codename, ...suites])],
        });
      } catch {
        file = await fetchPackage({ ...options, folder: `${folder}-again`, suites: [distribution.codename] });
      }
      const unpacked = path.join(temp, 'keyring-unpacked');
      await must('dpkg-deb', ['-x', file, unpacked]);
      return existing(
        ['debian-archive-keyring.gpg', 'debian-archive-keyring.pgp'].map((name) =>
          path.join(unpacked, 'usr/share/keyrings', name),
        ),
      );
    })());
}

function existing(files) {
  const found = files.filter((file) => existsSync(file));
  return found.slice(0, 1);
}

/**
 * Downloads one package with an apt that shares nothing with the machine's but its Acquire settings (a proxy, for
 * one) and its keys: own sources, own lists, own cache, so it needs no root and leaves no trace.
 */
async function fetchPackage({ mirror, suites, name, folder, extraKeyrings = [], log }) {
  const inside = (...parts) => path.join(folder, ...parts);
  for (const sub of [
    'state/lists/partial',
    'cache/archives/partial',
    'sources',
    'keys',
    'none',
    'download',
  ]) {
    await mkdir(inside(sub), { recursive: true });
  }
  await writeFile(inside('status'), '');
  await writeFile(
    inside('sources', 'only.sources'),
    [
      'Types: deb',
      `URIs: ${mirror.uri}`,
      `Suites: ${suites.join(' ')}`,
      `Components: ${mirror.components.filter((word) => word === 'main' || word === 'universe').join(' ')}`,
      `Architectures: ${(await must('dpkg', ['--print-architecture'])).trim()}`,
      'Languages: none',
      'Targets: Packages',
      ...(mirror.trusted ? ['Trusted: yes'] : []),
      '',
    ].join('\n'),
  );

  const machineKeyrings = mirror.signedBy.length
    ? mirror.signedBy
    : existing(['gpg', 'pgp'].map((end) => `/usr/share/keyrings/debian-archive-keyring.${end}`));
  const keyrings = [...machineKeyrings, ...extraKeyrings];
  for (const [index, keyring] of keyrings.entries()) {
    // apt takes a key file's format from its ending, and every version knows these two.
    await cp(keyring, inside('keys', `${index}${keyring.endsWith('.asc') ? '.asc' : '.gpg'}`), {
      dereference: true,
    });
  }

  const settings = {
    'Dir::State': inside('state'),
    'Dir::State::lists': inside('state', 'lists'),
    'Dir::State::status': inside('status'),
    'Dir::Cache': inside('cache'),
    'Dir::Cache::archives': inside('cache', 'archives'),
    // Images often turn these two off. Here they save a second reading of the lists.
    'Dir::Cache::pkgcache': inside('cache', 'pkgcache.bin'),
    'Dir::Cache::srcpkgcache': inside('cache', 'srcpkgcache.bin'),
    'Dir::Etc::sourcelist': '/dev/null',
    'Dir::Etc::sourceparts': inside('sources'),
    'Dir::Etc::preferences': '/dev/null',
    'Dir::Etc::preferencesparts': inside('none'),
    // With no keyring found, apt's own default keys stay in force.
    ...(keyrings.length
      ? { 'Dir::Etc::trusted': '/dev/null', 'Dir::Etc::trustedparts': inside('keys') }
      : {}),
    // apt's unprivileged user could not write to a folder that only this user can enter.
    'APT::Sandbox::User': 'root',
    'APT::Update::Error-Mode': 'any',
    // Low, because the whole of it is tried again below, and apt waits ever longer between its own tries.
    'Acquire::Retries': '1',
    'Acquire::Languages': 'none',
  };
  // The machine's hooks and its default release are about the machine's own lists.
  const cleared = [
    'APT::Update::Pre-Invoke',
    'APT::Update::Post-Invoke',
    'APT::Update::Post-Invoke-Success',
    'APT::Default-Release',
    'Acquire::Languages',
  ];
  const config = inside('apt.conf');
  await writeFile(
    config,
    [
      ...cleared.map((key) => `#clear ${key};`),
      ...Object.entries(settings).map(([key, value]) => `${key} "${value}";`),
      '',
    ].join('\n'),
  );

  await retrying(log, async () => {
    await apt(config, ['update']);
    await apt(config, ['download', name], { cwd: inside('download') });
  });
  const file = (await readdir(inside('download'))).find((entry) => entry.endsWith('.deb'));
  if (!file) throw new Error(`apt-get download ${name} left no package behind`);
  // The lists are by far the largest part.
  await rm(inside('state'), { recursive: true, force: true });
  await rm(inside('cache'), { recursive: true, force: true });
  return inside('download', file);
}

async function apt(config, args, options) {
  const { code, output } = await run('apt-get', ['-q', '-y', '-c', config, ...args], options);
  if (code === 0) return;
  const complaints = output.split('\n').filter((line) => /^(E|W|Err):/.test(line));
  const error = new Error(
    `apt-get ${args.join(' ')}: ${(complaints.join(' ') || output).trim().slice(0, 600)}`,
  );
  error.badSignature =
    /NO_PUBKEY|EXPKEYSIG|is not signed|couldn't be verified|signatures were invalid|Missing key/i.test(
      output,
    );
  // A wrong key, a suite the mirror does not have and a package the suite does not have stay that way.
  error.lasting =
    error.badSignature || /does not have a Release file|\b404\b|Unable to locate package/.test(output);
  throw error;
}

async function retrying(log, attempt) {
  for (let count = 1; ; count++) {
    try {
      return await attempt();
    } catch (error) {
      if (error.lasting || count === TRIES) throw error;
      log(`nats-server: ${error.message.slice(0, 200)}; trying again (${count + 1} of ${TRIES})`);
      await sleep(2_000 * count);
    }
  }
}

// ---------------------------------------------------------------------------------------------- the cache

const manifestOf = (suite) => path.join(CACHE, `${suite}.json`);

/** What an earlier run left for this suite, when it is still there and still runs. */
async function cachedServer(suite) {
  try {
    const manifest = JSON.parse(await readFile(manifestOf(suite), 'utf8'));
    const binary = path.resolve(CACHE, manifest.path);
    const version = await versionOf(binary);
    return version && version === manifest.version && isNewEnough(version)
      ? { path: binary, version }
      : undefined;
  } catch {
    return undefined;
  }
}

async function keepServer(suite, file, folder) {
  const unpacked = path.join(folder, 'unpacked');
  await must('dpkg-deb', ['-x', file, unpacked]);
  const within = ['usr/sbin/nats-server', 'usr/bin/nats-server'].find((name) =>
    isExecutable(path.join(unpacked, name)),
  );
  if (!within) throw new Error(`${path.basename(file)} holds no nats-server binary`);
  const version = await versionOf(path.join(unpacked, within));
  if (!version) throw new Error(`the nats-server of ${path.basename(file)} does not run on this machine`);
  if (!isNewEnough(version)) throw new Error(`${suite} has nats-server ${version}, older than ${MINIMUM}`);

  const target = path.join(CACHE, version);
  const binary = path.join(target, within);
  await moveIntoPlace(unpacked, target, path.join(folder, 'replaced'), async () => {
    return (await versionOf(binary)) === version;
  });
  const manifest = { suite, version, path: path.relative(CACHE, binary), package: path.basename(file) };
  const draft = path.join(folder, 'manifest.json');
  await writeFile(draft, `${JSON.stringify(manifest, null, 2)}\n`);
  await rename(draft, manifestOf(suite));
  return { path: binary, version };
}

/** A rename is all or nothing, so a second process sees either no folder or a whole one. */
async function moveIntoPlace(from, to, aside, isGood) {
  for (let count = 0; ; count++) {
    try {
      await rename(from, to);
      return;
    } catch (error) {
      if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error;
      if (await isGood()) return;
      if (count === TRIES) throw error;
      await rename(to, `${aside}-${count}`).catch(() => {});
    }
  }
}

async function withTempFolder(use) {
  await mkdir(CACHE, { recursive: true });
  await removeStaleTempFolders();
  const temp = await mkdtemp(path.join(CACHE, 'tmp-'));
  try {
    return await use(temp);
  } finally {
    await rm(temp, { recursive: true, force: true });
  }
}

/** Left by a run that was killed. Young ones may belong to a run that is still going. */
async function removeStaleTempFolders() {
  for (const name of await readdir(CACHE)) {
    if (!name.startsWith('tmp-')) continue;
    const folder = path.join(CACHE, name);
    const { mtimeMs } = await stat(folder).catch(() => ({ mtimeMs: Date.now() }));
    if (Date.now() - mtimeMs > STALE_TEMP_MS) await rm(folder, { recursive: true, force: true });
  }
}

// ---------------------------------------------------------------------------------------------- commands

/** Never rejects: a command that cannot be started counts as failed. */
function run(command, args, { cwd, timeout = COMMAND_TIMEOUT_MS } = {}) {
  const env = { ...process.env, LC_ALL: 'C', DEBIAN_FRONTEND: 'noninteractive' };
  return new Promise((resolve) => {
    execFile(command, args, { cwd, env, timeout, maxBuffer: 64 * 1024 * 1024 }, (error, stdout, stderr) => {
      const output = `${stdout}${stderr}` || (error?.message ?? '');
      resolve({ code: error ? (typeof error.code === 'number' ? error.code : -1) : 0, output });
    });
  });
}

async function must(command, args) {
  const { code, output } = await run(command, args);
  if (code !== 0) throw new Error(`${command} ${args.join(' ')}: ${output.trim().slice(0, 600)}`);
  return output;
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  try {
    const need = process.argv[2] ?? 'any';
    const servers = await findServers({ need, log: (line) => process.stderr.write(`${line}\n`) });
    process.stdout.write(`${JSON.stringify(servers)}\n`);
  } catch (error) {
    process.stderr.write(`${error.message}\n`);
    process.exitCode = 1;
  }
}
