// One run of Cargo as others see it: what it was asked for, and where it builds. Two runs with the same id ask for the same
// units, as far as their sources are the same; in any checkout.
import { readFileSync, readlinkSync } from 'node:fs';
import type { Environment } from '../core/config.ts';
import { folderOf, members } from '../daemon/build-identity.ts';
import { cargoHome } from '../rustc/roots.ts';
import { readText, stat } from '../sys/files.ts';
import { sha256 } from '../sys/hash.ts';
import { basename, dirname, isWithin } from '../sys/paths.ts';
import { certainRoot } from './workspace.ts';

export interface CargoRun {
  readonly pid: number;
  /** What it was started with: what it gives its compilers differs from that by what it says of a package. */
  readonly env: Environment;
  /** The folder of the lockfile. */
  readonly root: string;
  readonly targetDir: string;
  readonly id: string;
}

/** Arguments that lead to another target folder, workspace or configuration than the one that is looked for here. */
const LEADS_ELSEWHERE =
  /^(--(target-dir|config|manifest-path|artifact-dir|out-dir|lockfile-path|build-plan)\b|-[CZ]|\+)/;

/** Variables that do; and what does in a configuration, or in an alias, wherever that stands. */
const PLACES = ['CARGO_TARGET_DIR', 'CARGO_BUILD_TARGET_DIR', 'CARGO_BUILD_BUILD_DIR'];
const PLACED_BY_CONFIG = /\b(target-dir|build-dir|include)\b|--(config|manifest-path)\b/i;

/** Names that are written so are not found in a text. */
const ESCAPED = /\\[ux]/i;

/** Commands that no alias can be: Cargo has them itself, and under their whole names. */
const BUILT_IN = /^(bench|build|check|doc|fix|run|rustc|rustdoc|test)$/;

/** What Cargo says and how is the same build. */
const OF_NO_EFFECT = /^(-v|--verbose|-q|--quiet|--offline|--locked|--frozen|--(color|message-format)=.*)$/;

/**
 * Variables that Cargo heeds, or gives to compilers and scripts itself, whatever it was given or instead of that: what its
 * calls have of them does not follow from what they had in another environment.
 */
const HEEDED = /^(CARGO|RUST|DEP_|SSL_CERT_|(LD_LIBRARY_PATH|OUT_DIR|TARGET|HOST|PROFILE|OPT_LEVEL|DEBUG)$)/;

/** How Cargo shows a registry who it is: that says who may fetch, not what is built, and an id goes to other machines. */
const TOKEN = /^CARGO_REGISTR(Y|IES_\w+)_TOKEN$/;

/** Whether Cargo shows what compilers and scripts of dependencies say: of a unit that is fresh it would not. */
function isVeryVerbose(argv: readonly string[]): boolean {
  const said = argv.map((arg) => {
    if (arg === '--verbose') return 1;
    return /^-\w+$/.test(arg) ? arg.split('v').length - 1 : 0;
  });
  return said.reduce((sum, count) => sum + count, 0) > 1;
}

/** Whether a process is a run of Cargo still: it may have become the program that it was to run. */
export const isCargo = (pid: number): boolean => basename(linkOf(`/proc/${pid}/exe`) ?? '') === 'cargo';

/** The run of Cargo that is the process `pid` and asks `compiler`; undefined where it builds in a place of its own. */
export function cargoRun(pid: number, compiler: string): CargoRun | undefined {
  const [exe, cwd] = [linkOf(`/proc/${pid}/exe`), folderOf(pid)];
  const argv = fieldsOf(pid, 'cmdline')?.slice(1);
  const env = environmentOf(fieldsOf(pid, 'environ'));
  if (exe === undefined || !isCargo(pid) || cwd === undefined) return undefined;
  if (argv === undefined || argv.some((arg) => LEADS_ELSEWHERE.test(arg))) return undefined;
  if (isVeryVerbose(argv)) return undefined;
  if (env === undefined || PLACES.some((name) => (env[name] ?? '') !== '')) return undefined;
  const root = certainRoot(cwd);
  const configs = configsAbove(cwd, cargoHome({ env }));
  const texts = configs.map(([, text]) => text);
  // The first word is the command, or the value of an option before it, which is none of these.
  const isAlias = !BUILT_IN.test(argv.find((arg) => !arg.startsWith('-')) ?? '');
  const heeded = isAlias ? [...texts, ...aliasesIn(env)] : texts.map(withoutAliases);
  if (root === undefined || heeded.some(mayLeadElsewhere)) return undefined;
  const isMentioned = namesIn(texts);
  const id = sha256(
    JSON.stringify([
      compiler,
      [exe, stat(exe)?.size],
      argv.filter((arg) => !OF_NO_EFFECT.test(arg)),
      cwd.slice(root.length),
      members(readFileSync(`${root}/Cargo.lock`, 'utf8')),
      configs.map(([path, text]) => [isWithin(path, root) ? path.slice(root.length) : path, text]),
      cargoHome({ env }),
      Object.entries(env)
        // What a configuration sets depends on whether it was set.
        .filter(([name]) => (HEEDED.test(name) && !TOKEN.test(name)) || isMentioned(name))
        // Of a Cargo that is started by another one's program: it was told of a package of this checkout.
        .map(([name, value]) => [name, value?.replaceAll(root, '')])
        .sort(),
    ]),
  );
  return { pid, env, root, targetDir: `${root}/target`, id };
}

/** Tells of a variable whether texts have its name: as a word, for shells set one that is `_`, to what they were asked for. */
function namesIn(texts: readonly string[]): (name: string) => boolean {
  const words = new Set(texts.flatMap((text) => text.split(/\W+/)));
  return (name) => (/^\w+$/.test(name) ? words.has(name) : texts.some((text) => text.includes(name)));
}

function linkOf(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch (error) {
    if (error instanceof Error && 'code' in error) return undefined;
    throw error;
  }
}

/** The fields of a file of /proc that ends each with a zero byte; undefined when one is no UTF-8. */
function fieldsOf(pid: number, name: 'cmdline' | 'environ'): string[] | undefined {
  const text = readText(`/proc/${pid}/${name}`);
  return text === undefined || text.includes('\uFFFD') ? undefined : text.split('\0').slice(0, -1);
}

/** Undefined where a name is there twice: what that means is not for us to guess. */
function environmentOf(lines: readonly string[] | undefined): Environment | undefined {
  if (lines === undefined) return undefined;
  const env: Record<string, string> = Object.create(null);
  for (const line of lines) {
    const at = line.indexOf('=');
    if (at <= 0 || line.slice(0, at) in env) return undefined;
    env[line.slice(0, at)] = line.slice(at + 1);
  }
  return env;
}

/** What variables make of words on Cargo's command line. */
const aliasesIn = (env: Environment): string[] =>
  Object.entries(env).flatMap(([name, value]) => (name.startsWith('CARGO_ALIAS_') ? [value ?? ''] : []));

const mayLeadElsewhere = (text: string): boolean => PLACED_BY_CONFIG.test(text) || ESCAPED.test(text);

/** What a configuration says beside aliases; all of it where that cannot be told apart. */
function withoutAliases(text: string): string {
  if (!/\balias\b/.test(text) || ESCAPED.test(text)) return text;
  try {
    const { alias: _, ...rest } = Bun.TOML.parse(text) as Record<string, unknown>;
    return JSON.stringify(rest);
  } catch (error) {
    if (error instanceof Error) return text;
    throw error;
  }
}

/** The files from which Cargo reads its configuration: each with its text. */
function configsAbove(cwd: string, home: string | undefined): [path: string, text: string][] {
  const folders = home === undefined ? [] : [home];
  for (let dir = cwd; ; dir = dirname(dir)) {
    folders.push(`${dir === '/' ? '' : dir}/.cargo`);
    if (dir === '/') break;
  }
  return [...new Set(folders)]
    .flatMap((folder) => [`${folder}/config.toml`, `${folder}/config`])
    .flatMap((path): [string, string][] => {
      const text = readText(path);
      return text === undefined ? [] : [[path, text]];
    });
}
