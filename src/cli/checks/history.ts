// Checks of what the event log says about the last day, and of macros that read what cannot be seen.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { CompileEvent } from '../../core/events.ts';
import { isLinux } from '../../sys/libc.ts';
import { count } from '../terminal.ts';
import { tomlProblem } from '../toml.ts';
import { type Check, type Context, fail, look, ok } from './check.ts';

/** What a failed call of the operating system means for a store. */
const FAILURES: Readonly<Record<string, string>> = {
  ENOSPC: 'the disk is full',
  EDQUOT: 'your quota is used up',
  EROFS: 'the file system is read-only',
  EACCES: 'permission is denied',
  EPERM: 'permission is denied',
  EIO: 'the disk reports errors',
  ENOENT: 'a folder was taken away',
};

/** What a file system refused: to take a compile, to give a hit, or to answer at all. */
const refusalOf = ({ reason, passthrough_reason }: CompileEvent): string | undefined =>
  [reason, passthrough_reason].find((text) => /^(store|restore|cache)-failed\|/.test(text ?? ''));

const stored: Check = {
  id: 'stored',
  title: 'Every compile of the last day could be stored',
  run: ({ events }) => {
    const failures = events.filter((event) => refusalOf(event) !== undefined);
    if (failures.length === 0) return [ok()];
    const codes = Map.groupBy(failures, (event) => /\|(\w+)/.exec(refusalOf(event) ?? '')?.[1] ?? '');
    return [...codes].map(([code, list]) => {
      const last = list.at(-1);
      return look(
        `${list.length} could not (${code}${FAILURES[code] === undefined ? '' : `: ${FAILURES[code]}`}); the last: ${last?.crate_name}, ${new Date(last?.ts ?? 0).toISOString()}`,
        'Look at the lines about the store above. What was compiled since is stored when it is compiled again.',
      );
    });
  },
};

const verified: Check = {
  id: 'verified',
  title: 'No hit that was verified differed from a compile',
  run: ({ events }) => {
    const [right, wrong] = ['verified', 'verify-mismatch'].map((word) =>
      events.filter(({ reason }) => reason?.split('|')[0] === word),
    );
    if (wrong === undefined || wrong.length === 0)
      return [ok(`${count(right?.length ?? 0, 'hit')} of the last day verified`)];
    const found = wrong
      .slice(0, 5)
      .map(({ crate_name: name, reason }) => `${name} (${reason?.split('|')[1]})`);
    return [
      fail(
        `${count(wrong.length, 'hit')} of the last day did: ${found.join(', ')}`,
        'Leave these crates out with cache.bypass_crates: their compiles are not repeatable, or kache is wrong about them; please report it.',
      ),
    ];
  },
};

const observed: Check = {
  id: 'macros-observed',
  title: 'What macros read could be seen',
  run: ({ events }) => {
    const blind = events.filter(({ reason }) => reason === 'macro-reads-unknown');
    if (blind.length === 0) return [ok()];
    const names = [...new Set(blind.map(({ crate_name: name }) => name))];
    return [
      look(
        `not for ${names.slice(0, 5).join(', ')}${names.length > 5 ? ` and ${names.length - 5} more` : ''}: not stored`,
        'Raise fs.inotify.max_user_watches, or name the files in a kache.toml (`extra_inputs`).',
      ),
    ];
  },
};

const limitOf = (name: string): number | undefined => {
  const path = `/proc/sys/fs/inotify/${name}`;
  return isLinux && existsSync(path) ? Number(readFileSync(path, 'utf8')) : undefined;
};

/** A compile with macros watches up to 4096 folders, and several run at once. */
const MIN_WATCHES = 8192;
const MIN_INSTANCES = 64;

const watches: Check = {
  id: 'watch-limit',
  title: 'Enough folders can be watched',
  run: () => {
    const [folders, instances] = [limitOf('max_user_watches'), limitOf('max_user_instances')];
    if (folders === undefined || instances === undefined)
      return [ok('this system has no inotify: packages with macros are keyed by all their files')];
    const seen = `${folders} folders, ${instances} at once`;
    if (folders >= MIN_WATCHES && instances >= MIN_INSTANCES) return [ok(seen)];
    return [look(seen, 'sysctl fs.inotify.max_user_watches=65536 fs.inotify.max_user_instances=128')];
  },
};

interface Unseen {
  /** The proc macro's package, as it stands in Cargo.lock. */
  readonly package: string;
  readonly reads: string;
  readonly remedy: string;
  /** Whether this project has what makes it read files instead. */
  readonly isSettled?: (context: Context, root: string) => boolean;
}

const NOT_CACHED = 'Leave the crates that use it out with cache.bypass_crates, where that matters.';

const UNSEEN: readonly Unseen[] = [
  {
    package: 'sqlx-macros',
    reads: 'the database that DATABASE_URL names',
    remedy: 'Run `cargo sqlx prepare` and commit the .sqlx folder, or build with SQLX_OFFLINE=true.',
    isSettled: ({ env }, root) =>
      existsSync(join(root, '.sqlx')) ||
      existsSync(join(root, 'sqlx-data.json')) ||
      ['true', '1'].includes(env['SQLX_OFFLINE'] ?? ''),
  },
  { package: 'infer_schema_macros', reads: 'a database', remedy: NOT_CACHED },
  { package: 'git-version-macro', reads: 'the state of the git repository', remedy: NOT_CACHED },
  { package: 'const-random-macro', reads: 'random numbers', remedy: NOT_CACHED },
  { package: 'build-time', reads: 'the clock', remedy: NOT_CACHED },
  { package: 'compile-time', reads: 'the clock', remedy: NOT_CACHED },
];

const unseen: Check = {
  id: 'macros-unseen',
  title: 'No package has macros known to read what cannot be seen',
  run: (context) => {
    const root = context.project?.root;
    if (root === undefined) return [];
    const packages = lockedPackages(join(root, 'Cargo.lock'));
    const found = UNSEEN.filter(
      (item) => packages.has(item.package) && item.isSettled?.(context, root) !== true,
    );
    if (found.length === 0) return [ok(`${packages.size} packages in ${join(root, 'Cargo.lock')}`)];
    return found.map((item) => look(`${item.package} reads ${item.reads}`, item.remedy));
  },
};

function lockedPackages(path: string): ReadonlySet<string> {
  const text = existsSync(path) ? readFileSync(path, 'utf8') : '';
  if (tomlProblem(text) !== undefined) return new Set();
  const packages: unknown = (Bun.TOML.parse(text) as { package?: unknown }).package;
  const names = Array.isArray(packages) ? packages.map((item: { name?: unknown }) => String(item.name)) : [];
  return new Set(names);
}

export const HISTORY_CHECKS: readonly Check[] = [stored, verified, observed, watches, unseen];
