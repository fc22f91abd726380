// What look-ups of a store have to know and programs have to be asked for: the compiler, its linker, the stand-in of build
// scripts. The daemon starts no program of a build; a process that acts for the build does it here, before it fills anything.
import { identifyCompiler } from '../compile/identify.ts';
import { identifyLinker, linkStep } from '../compile/link.ts';
import { prepare } from '../compile/prepare.ts';
import { isSystemPath } from '../compile/share.ts';
import { compileStandIn, hasStandIn, keepsRuns, lacksStandIn, makeStandIn } from '../compile/stand-in.ts';
import type { LaunchedCall } from '../daemon/protocol.ts';
import { awaitAnswering, startAnswering } from '../daemon/start.ts';
import { parseInvocation } from '../rustc/invocation.ts';
import { DEFAULT_LINKER } from '../rustc/linker.ts';
import { LARGE_BYTES, SourceHashes } from '../store/hashes.ts';
import { openStore, type Store } from '../store/store.ts';
import { bestEffort, isRegular, stat } from '../sys/files.ts';
import { outputOf } from '../sys/process.ts';
import { loadSettings } from '../sys/settings.ts';
import { callOf, planFor } from './fill.ts';

/**
 * Learns what can be known of a machine before anything is built on it, and has the daemon come up: what every fresh CI
 * machine would learn at the first call of its build. `rustc` is the compiler by its real path.
 */
export function learnAhead({ env, cwd, self, askedAt }: Omit<Asked, 'argv' | 'caller'>, rustc: string): void {
  const { settings } = loadSettings(env, cwd);
  if (settings.disabled) return;
  const store = openStore(settings.cacheDir);
  if (store.kind === 'problem') return;
  startAnswering({ env, self, askedAt });
  identifyCompiler(store, rustc, outputOf);
  identifyLinker(store, { program: DEFAULT_LINKER, choice: [] }, { env, cwd, ask: outputOf });
  if (keepsRuns(settings, false) && !hasStandIn(store)) compileStandIn(store, [rustc], outputOf);
}

interface Asked extends LaunchedCall {
  /** Where its launcher asks. */
  readonly askedAt: string;
  readonly self: string;
}

/** Learns what a filling of the target folder needs, and waits until somebody answers the launcher that asks for it then. */
export function learn(asked: Asked): void {
  const { settings } = loadSettings(asked.env, asked.cwd);
  if (settings.disabled) return;
  const isAnswered = startAnswering(asked);
  if (!settings.cacheFingerprints) return;
  const planned = planFor(asked);
  if (planned !== undefined) {
    const { store, run, units } = planned;
    const invocations = units.flatMap((unit) => {
      const { argv, env, cwd } = callOf(unit, run, asked.caller.pid);
      const invocation = parseInvocation(argv, env, cwd);
      return 'reason' in invocation ? [] : [invocation];
    });
    const script = invocations.find(({ crateName }) => crateName.startsWith('build_script_'));
    const linked = invocations.find(({ outputs }) => outputs.links > 0);
    for (const invocation of new Set([linked ?? invocations[0], script])) {
      if (invocation === undefined) continue;
      const { settings: own } = loadSettings(invocation.env, invocation.outDir);
      const start = { invocation, settings: own, store, startedMs: Date.now(), caller: asked.caller };
      const call = prepare({ ...start, self: asked.self, ask: outputOf });
      if (typeof call === 'string') return;
      linkStep(call);
      if (lacksStandIn(call)) makeStandIn(call);
    }
  }
  if (isAnswered) awaitAnswering(asked);
}

/** What a pack names may be anything. */
const MAX_AHEAD_BYTES = 1e9;

/**
 * Hashes the large files of this system among those that runs of build scripts have looked at: the first look-up on a
 * machine need not. A C compiler and what it loads are 270 MB, for which a build would wait 0.17 s.
 */
export function hashAhead(store: Store, lookedAt: Iterable<string>): void {
  const hashes = new SourceHashes(store, 'looked at by runs');
  let bytes = 0;
  for (const path of lookedAt) {
    const info = isSystemPath(path) ? stat(path) : undefined;
    if (info === undefined || !isRegular(info) || info.size < LARGE_BYTES) continue;
    bytes += info.size;
    if (bytes > MAX_AHEAD_BYTES) break;
    bestEffort(() => hashes.hash(path));
  }
  hashes.remember();
}
