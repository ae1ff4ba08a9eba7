import { execFile } from 'node:child_process';
import { mkdir, readdir, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';

const ROOT = path.join(__dirname, '..', '..');
const LOCK = path.join(ROOT, '.cache', 'worker-build.lock');
const STALE_MS = 60_000;

/** Compiles the library that workers run, if it is older than its sources; one at a time. */
export async function buildLibrary(): Promise<void> {
  if (await isCurrent()) return;
  await mkdir(path.dirname(LOCK), { recursive: true });
  while (!(await locked())) await sleep(100);
  try {
    if (await isCurrent()) return;
    const tsc = path.join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc');
    await promisify(execFile)(process.execPath, [tsc, '-p', 'tsconfig.build.json'], { cwd: ROOT }).catch(
      ({ stdout }: { stdout: string }) => {
        throw new Error(`the library that the workers run does not compile:\n${stdout}`);
      },
    );
  } finally {
    await rm(LOCK, { recursive: true, force: true });
  }
}

async function isCurrent(): Promise<boolean> {
  const built = await modified(path.join(ROOT, 'dist', 'index.js'));
  if (built === undefined) return false;
  const sources = await readdir(path.join(ROOT, 'lib'), { recursive: true });
  const times = await Promise.all(sources.map((source) => modified(path.join(ROOT, 'lib', source))));
  return times.every((time) => time === undefined || time <= built);
}

const modified = (file: string): Promise<number | undefined> =>
  stat(file).then(
    (found) => (found.isFile() ? found.mtimeMs : undefined),
    () => undefined,
  );

async function locked(): Promise<boolean> {
  try {
    await mkdir(LOCK);
    return true;
  } catch {
    const since = await stat(LOCK).catch(() => undefined);
    if (since !== undefined && Date.now() - since.mtimeMs > STALE_MS) await rm(LOCK, { recursive: true });
    return false;
  }
}
