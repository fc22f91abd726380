// The command line: which commands there are, their options, and their exit status (0 done, 1 failed, 2 wrong usage).
import { Argument, Command, CommanderError, Option } from 'commander';
import { isSupported, UNSUPPORTED } from '../sys/pass-through.ts';
import { version } from './binary.ts';
import { cargo } from './cargo.ts';
import { clean } from './clean.ts';
import { complete, completions, SHELLS } from './completions.ts';
import { configGet, configList, configPath, configSet, configUnset } from './config.ts';
import {
  daemonInstall,
  daemonLog,
  daemonRestart,
  daemonRun,
  daemonStart,
  daemonStatusCommand,
  daemonStop,
  daemonUninstall,
} from './daemon.ts';
import { doctor } from './doctor.ts';
import { gc, list, purge, SORTS } from './entries.ts';
import { init } from './init.ts';
import { launcherCommand } from './launcher.ts';
import { monitor } from './monitor.ts';
import { DEFAULT_SINCE } from './open.ts';
import { packSave, packShow } from './pack.ts';
import { packRestore, parsePart } from './pack-restore.ts';
import { FORMATS, report } from './report.ts';
import { stats } from './stats.ts';
import { saveManifest, sync } from './sync.ts';
import { reportError } from './terminal.ts';
import { whyMiss } from './why-miss.ts';

/** Runs one command and ends the process with its status. */
export async function runCli(argv: readonly string[]): Promise<void> {
  // Everything behind `cargo` is Cargo's, also --help and --version.
  if (argv[0] === 'cargo') return settle(() => cargo(argv.slice(1)));
  // Nobody should have to guess what was installed: the version and the list of commands are given everywhere.
  if (!isSupported && argv.length > 0 && !['--version', '-V', '--help', '-h'].includes(argv[0] ?? '')) {
    console.error(`kache: ${UNSUPPORTED}`);
    process.exitCode = 1;
    return;
  }
  const program = commands();
  if (argv[0] === 'complete') return settle(() => complete(program, argv.slice(argv[1] === '--' ? 2 : 1)));
  if (argv.length === 0) {
    program.outputHelp();
    return;
  }
  await settle(() => program.parseAsync([...argv], { from: 'user' }));
}

async function settle(run: () => unknown): Promise<void> {
  try {
    await run();
  } catch (error) {
    if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : 2;
    else process.exitCode = reportError(error);
  }
}

function commands(): Command {
  const program = new Command('kache')
    .description('A content-addressed build cache for Rust')
    .version(version())
    .exitOverride()
    .addHelpText('after', '\nAs a compiler wrapper:\n  RUSTC_WRAPPER=kache cargo build\n');
  const add = adding(program);

  add('cargo [args...]', 'run cargo once with kache in front', 'kache cargo build --release');
  add('init', "put kache into Cargo's configuration", 'kache init -y')
    .option('-y, --yes', 'do not ask; take what is recommended')
    .option('--check', 'change nothing; exit 1 when something would change')
    .option('--replace', 'put kache in the place of another wrapper')
    .option('--no-service', 'do not offer the daemon as a service')
    .option('--no-launcher', 'start this binary for every call, and no daemon for hits')
    .action(async (options) => {
      process.exitCode = await init(options);
    });
  add(
    'launcher',
    'compile the launcher and print its path, for RUSTC_WRAPPER',
    'kache launcher --dir /tmp/ci',
  )
    .option('--dir <folder>', "where to put it, instead of Cargo's bin folder")
    .action((options) => launcherCommand(options));
  add('monitor', 'watch builds, projects and the store as they change', 'kache monitor --since 7d')
    .option('--since <duration>', 'how far back (30m, 24h, 7d)', DEFAULT_SINCE)
    .action(async (options) => {
      process.exitCode = await monitor(options);
    });
  addAnswers(add);
  add('list [crate]', 'the entries of the store', 'kache list serde --sort size')
    .addOption(new Option('--sort <by>', 'what comes first').choices(Object.keys(SORTS)))
    .option('--json', 'as JSON')
    .action((crate, options) => list(crate, options));
  add('gc', 'evict now', 'kache gc --max-age 30d')
    .option('--max-age <duration>', 'also what was not used for so long')
    .option('--background', 'say nothing')
    .action((options) => gc(options));
  add('purge', 'empty the store, or forget one crate', 'kache purge --crate-name serde')
    .option('--crate-name <crate>', 'only this crate')
    .action((options) => purge(options));
  add('doctor', 'check binary, wrapper, configuration and store', 'kache doctor --verify')
    .option('--fix', 'mend what is safe to mend')
    .option('--verify', 'check every entry and the presence of its blobs')
    .option('--checksums', 'hash every blob')
    .option('--repair', 'remove what --verify or --checksums find damaged')
    .option('--probe', 'compile a tiny crate twice, in a private store, and prove a hit')
    .option('--json', 'as JSON')
    .action(async (options) => {
      process.exitCode = await doctor(options);
    });
  add('clean [dir]', "find Cargo's target directories and delete chosen ones", 'kache clean ~/src -n')
    .option('-n, --dry-run', 'delete nothing')
    .option('-y, --yes', 'delete all without asking')
    .option('--json', 'as JSON')
    .action(async (dir, options) => {
      process.exitCode = await clean(dir, options);
    });
  addRemote(add);
  addPack(program);
  addConfig(program);
  add(
    'completions',
    'print the completion script for a shell',
    'kache completions bash > ~/.local/share/bash-completion/completions/kache',
  )
    .addArgument(new Argument('<shell>', 'the shell').choices(SHELLS))
    .action((shell) => completions(shell));
  addDaemon(program);
  return program;
}

type Add = (usage: string, summary: string, sample: string) => Command;

/** Adds commands below `parent`, each with an example in its help. */
const adding =
  (parent: Command): Add =>
  (usage, summary, sample) =>
    parent
      .command(usage)
      .description(summary)
      .exitOverride()
      .addHelpText('after', `\nExample:\n  ${sample}\n`);

function addAnswers(add: Add): void {
  add('stats', 'one snapshot: hit rate, time saved, store use', 'kache stats --since 7d')
    .option('--since <duration>', 'how far back (30m, 24h, 7d)')
    .option('--last-build', 'only the newest build')
    .option('--json', 'as JSON')
    .action((options) => stats(options));
  add('why-miss [crate]', 'which input made a crate, or the last build, miss', 'kache why-miss serde')
    .alias('explain')
    .option('--json', 'as JSON')
    .action((crate, options) => whyMiss(crate, options));
  add('report', 'what recent builds did', 'kache report --format html --output report.html')
    .option('--format <format>', `one of ${FORMATS.join(', ')}`, 'text')
    .option('--since <duration>', 'how far back (30m, 24h, 7d)', DEFAULT_SINCE)
    .option('--root <dir>', 'only builds of or below this folder')
    .option('--output <file>', 'write to a file')
    .option('--top <n>', 'how many crates to name', '10')
    .action((options) => report(options));
}

function addRemote(add: Add): void {
  add('sync', 'move entries to and from the remote', 'kache sync --push')
    .option('--push', 'upload what is queued')
    .option('--pull', 'download what the last builds of this workspace used')
    .option('--all', 'every entry: of this store, or of the remote')
    .option('--workspace', 'what builds of this workspace have used (the default of --pull)')
    .option('--dry-run', 'say what would be moved')
    .option('--allow-partial', 'exit with 0 even when something failed')
    .option('--prune', 'remove objects from the remote')
    .option('--max-age <duration>', 'with --prune: objects written longer ago')
    .option('--max-size <size>', 'with --prune: the oldest, until the rest is below')
    .action(async (options) => {
      process.exitCode = await sync(options);
    });
  add('save-manifest', 'make the last build here what the next one prefetches', 'kache save-manifest').action(
    () => saveManifest(),
  );
}

function addPack(program: Command): void {
  const add = adding(
    adding(program)(
      'pack',
      'keep entries in a file, for a CI that keeps files',
      'kache pack save kache.pack --since 2h',
    ),
  );
  add(
    'save <file>',
    'write the entries that may leave this machine',
    'kache pack save new.pack --since 2h --base old.pack',
  )
    .option('--since <time>', 'only what compiles have used since (30m, 24h, or 2026-11-25T13:24:40Z)')
    .option('--base <pack>', 'leave out what is in this one; repeatable', collected, [])
    .option('--min-compile-ms <n>', 'leave out what took less to compile')
    .option('--bandwidth <bytes>', 'leave out what comes no sooner at so many a second; 0: nothing', '50MB')
    .option('--with-paths', 'also what holds a path of this machine, for machines with the same paths')
    .option('--parts', 'a large one in several files, to restore the first while others are on their way')
    .option('--json', 'as JSON')
    .action((file, options) => packSave(file, options));
  add('restore <files...>', 'put the entries of packs into the store', 'kache pack restore old.pack new.pack')
    .option('--json', 'as JSON')
    .addOption(new Option('--part <nth/of>').argParser(parsePart).hideHelp())
    .action(async (files, options) => {
      process.exitCode = await packRestore(files, options);
    });
  add('show <file>', 'what is in a pack', 'kache pack show kache.pack')
    .option('--json', 'as JSON')
    .action((file, options) => packShow(file, options));
}

const collected = (value: string, all: readonly string[]): string[] => [...all, value];

function addDaemon(program: Command): void {
  const add = adding(
    adding(program)('daemon', 'the background process that talks to the remote', 'kache daemon status'),
  );
  add('run', 'run it here, until stopped', 'kache daemon run')
    .option('--background', 'end when idle, say nothing')
    .action(async (options) => {
      process.exitCode = await daemonRun(options);
    });
  add('start', 'start it in the background', 'kache daemon start').action(() => daemonStart());
  add('stop', 'end it', 'kache daemon stop').action(() => daemonStop());
  add('restart', 'end it and start it again', 'kache daemon restart').action(() => daemonRestart());
  add('status', 'what it does; exit 1 when none runs', 'kache daemon status --json')
    .option('--json', 'as JSON')
    .action(async (options) => {
      process.exitCode = await daemonStatusCommand(options);
    });
  add('log', 'its log', 'kache daemon log').action(() => daemonLog());
  add('install', 'start it with your session: systemd or launchd', 'kache daemon install').action(() => {
    process.exitCode = daemonInstall();
  });
  add('uninstall', 'take that away', 'kache daemon uninstall').action(() => daemonUninstall());
}

function addConfig(program: Command): void {
  const add = adding(
    adding(program)(
      'config',
      'read and edit settings, comments kept',
      'kache config set cache.local_max_size 20GiB',
    ),
  );
  add('get <setting>', 'the value that holds', 'kache config get cache.local_store').action((name) =>
    configGet(name),
  );
  add('set <setting> <value>', 'write a value', 'kache config set cache.link_mode copy').action(
    (name, value) => configSet(name, value),
  );
  add('unset <setting>', 'go back to the default', 'kache config unset cache.key_salt').action((name) =>
    configUnset(name),
  );
  add('list', 'every setting, its value and where it comes from', 'kache config list')
    .option('--json', 'as JSON')
    .action((options) => configList(options));
  add('path', 'the file that is read and edited', 'kache config path').action(() => configPath());
}
