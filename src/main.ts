// The entry of the binary: a compiler call goes to the wrapper at once, anything else is the command line, which is
// loaded only then.
import { isCallOfStandIn } from './compile/stand-in.ts';
import { isSupported, passThrough } from './sys/pass-through.ts';
import { runWrapper } from './wrapper.ts';

/** Programs that are compilers when named without a path: as Cargo, rustup and the cc crate call them. */
const COMPILERS =
  /^(rustc|clippy-driver|rustdoc|(.+-)?(cc|c\+\+|gcc|g\+\+|clang|clang\+\+|clang-cl)(-\d+)?)(\.exe)?$/;

/** A folder that was removed under our feet is no reason not to run the compiler. */
function currentDir(): string {
  try {
    return process.cwd();
  } catch {
    return '/';
  }
}

const argv = process.argv.slice(2);
const [first] = argv;

const isCompiler =
  first !== undefined && (first.includes('/') || first.includes('\\') || COMPILERS.test(first));

/** There is nothing to run: as a shell says it, and with its exit status. */
function cannotRun(error: unknown): never {
  console.error(`kache: ${error instanceof Error ? error.message : error}`);
  process.exit(127);
}

if (isCallOfStandIn(first) && isSupported) {
  const [script = '', standIn = '', ...args] = argv;
  const input = {
    standIn,
    script,
    args,
    env: process.env,
    cwd: currentDir(),
    self: process.execPath,
    caller: { pid: process.pid, parentPid: process.ppid },
  };
  void import('./script/run.ts').then(({ runBuildScript }) => runBuildScript(input)).catch(cannotRun);
} else if (isCompiler) {
  const [, askedAt, cargo] = /^(.+)\/kache-launcher(?:-learns-for-(\d+))?$/.exec(process.argv0) ?? [];
  const input = {
    argv,
    env: process.env,
    cwd: currentDir(),
    caller: { pid: process.pid, parentPid: process.ppid },
    askedAt,
    self: process.execPath,
  };
  if (askedAt !== undefined && cargo !== undefined) {
    // Beside the compiler, for a launcher that fills a target folder then.
    const caller = { pid: process.pid, parentPid: Number(cargo) };
    void import('./fingerprints/learn.ts')
      .then(({ learn }) => learn({ ...input, askedAt, caller }))
      .catch(cannotRun);
  } else {
    const ended = isSupported ? runWrapper(input) : passThrough(argv);
    ended.catch(cannotRun);
  }
} else {
  void import('./cli/main.ts').then(({ runCli }) => runCli(argv));
}
