// The command line of the suite.
import { homedir, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { APPLICATIONS, type Application } from './applications.ts';
import type { ToolName } from './results.ts';

export type Options = {
  rounds: number;
  repeats: number;
  applications: Application[];
  /** Applications whose disk use and compiler processes are measured; empty for none. */
  diskApplications: Application[];
  tools: ToolName[];
  hits: boolean;
  installPeers: boolean;
  peersDirectory: string;
  cargoHome: string;
  kacheBinary: string;
  workDirectory: string;
  keep: boolean;
  write: boolean;
  /** Make the documents from this file of samples, without measuring. */
  render: string | null;
};

const HELP = `usage: bun bench/run.ts [options]

  --quick              the workspace and the application of about 60 crates, one round
  --rounds N           rounds per application (default 3); the order of the tools alternates
  --repeats N          warm builds per round and tool (default 3)
  --apps A,B           only these applications: ${APPLICATIONS.map((application) => application.name).join(', ')}
  --tools A,B          only these tools: plain, kache, sccache, rust-kache, floor, floor-libs (and kache+exe, rust-kache+exe)
  --executables        add columns with executables cached: kache+exe, rust-kache+exe
  --disk A,B|all|none  applications whose disk use is measured (default: the small ones; needs root)
  --no-hits            do not measure single hits
  --install-peers      install sccache and the public Rust tool through cargo first
  --peers DIR          where they are installed (default ~/.cache/kache-bench/peers, or KACHE_BENCH_PEERS)
  --cargo-home DIR     where cargo keeps downloaded crates (default ~/.cache/kache-bench/cargo-home)
  --kache FILE         the binary to measure (default dist/kache)
  --work-dir DIR       where everything is built (default: the temporary directory); removed afterwards
  --keep               leave the work directory
  --write              write docs/benchmarks.md and docs/benchmarks.json
  --render FILE        make the tables from samples written earlier, without measuring

Examples:
  npm run bench -- --quick --tools plain,kache,floor
  npm run bench -- --install-peers --executables --write
`;

const DEFAULT_TOOLS: ToolName[] = ['plain', 'kache', 'sccache', 'rust-kache', 'floor', 'floor-libs'];
const EXECUTABLE_TOOLS: ToolName[] = ['kache+exe', 'rust-kache+exe'];
const ALL_TOOLS: ToolName[] = [...DEFAULT_TOOLS, ...EXECUTABLE_TOOLS];

/** Parses the arguments; a string is a text to print instead of running. Throws on wrong usage. */
export function parseOptions(args: string[], environment: NodeJS.ProcessEnv): Options | string {
  const { values } = parseArgs({
    args,
    options: {
      quick: { type: 'boolean', default: false },
      rounds: { type: 'string' },
      repeats: { type: 'string', default: '3' },
      apps: { type: 'string' },
      tools: { type: 'string' },
      executables: { type: 'boolean', default: false },
      disk: { type: 'string' },
      'no-hits': { type: 'boolean', default: false },
      'install-peers': { type: 'boolean', default: false },
      peers: { type: 'string' },
      'cargo-home': { type: 'string' },
      kache: { type: 'string' },
      'work-dir': { type: 'string', default: tmpdir() },
      keep: { type: 'boolean', default: false },
      write: { type: 'boolean', default: false },
      render: { type: 'string' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) {
    return HELP;
  }
  const cache = join(environment['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'kache-bench');
  const applications = chosenApplications(values.apps, values.quick);
  const tools = values.tools === undefined ? DEFAULT_TOOLS : list(values.tools).map(toolNamed);
  return {
    rounds: count('rounds', values.rounds ?? (values.quick ? '1' : '3')),
    repeats: count('repeats', values.repeats),
    applications,
    diskApplications: diskApplications(values.disk, applications),
    tools: ALL_TOOLS.filter(
      (name) => tools.includes(name) || (values.executables && EXECUTABLE_TOOLS.includes(name)),
    ),
    hits: !values['no-hits'],
    installPeers: values['install-peers'],
    peersDirectory: resolve(values.peers ?? environment['KACHE_BENCH_PEERS'] ?? join(cache, 'peers')),
    cargoHome: resolve(values['cargo-home'] ?? join(cache, 'cargo-home')),
    kacheBinary: resolve(values.kache ?? join(import.meta.dir, '..', 'dist', 'kache')),
    workDirectory: resolve(values['work-dir']),
    keep: values.keep,
    write: values.write,
    render: values.render ?? null,
  };
}

function list(text: string): string[] {
  return text.split(',').filter((item) => item !== '');
}

function count(name: string, text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) {
    throw new Error(`Cannot read --${name}: "${text}" is not a positive number.`);
  }
  return value;
}

function toolNamed(name: string): ToolName {
  const found = ALL_TOOLS.find((tool) => tool === name);
  if (found === undefined) {
    throw new Error(`Cannot measure "${name}": not one of ${ALL_TOOLS.join(', ')}.`);
  }
  return found;
}

function applicationNamed(name: string): Application {
  const found = APPLICATIONS.find((application) => application.name === name);
  if (found === undefined) {
    throw new Error(
      `Cannot build "${name}": not one of ${APPLICATIONS.map((each) => each.name).join(', ')}.`,
    );
  }
  return found;
}

function chosenApplications(names: string | undefined, quick: boolean): Application[] {
  if (names !== undefined) {
    return list(names).map(applicationNamed);
  }
  return APPLICATIONS.filter((application) => application.small || !quick);
}

function diskApplications(names: string | undefined, chosen: Application[]): Application[] {
  if (names === 'none') {
    return [];
  }
  if (names === undefined || names === 'all') {
    return chosen.filter((application) => application.small || names === 'all');
  }
  return list(names).map(applicationNamed);
}
