// One compiler call of a launcher, decided here and carried out there: which files of a hit to put in place, or which
// compiler to start. The order of the stages is that of wrapper.ts; whatever would have to wait for another compile or start
// a program is answered with `none`, and the launcher becomes a wrapper.
import { bypassReason, LINKED } from './compile/bypass.ts';
import { type Call, timed } from './compile/call.ts';
import { noteFailure, noteHit } from './compile/finish.ts';
import type { KeyBase } from './compile/key.ts';
import { type LookUp, lookUp } from './compile/look-up.ts';
import { type Begun, beginLinked, beginMiss, identityBase, isDependable, type Side } from './compile/miss.ts';
import { baseOf, prepare } from './compile/prepare.ts';
import { lookUpRemotely } from './compile/remote-look-up.ts';
import { lockPath } from './compile/reserve.ts';
import { bytesToProve, placedFile, planRestore, settleRestored, sizeOf } from './compile/restore.ts';
import type { Left } from './compile/save.ts';
import { lacksStandIn } from './compile/stand-in.ts';
import { remoteOf } from './core/config.ts';
import { mapList } from './core/lists.ts';
import type { Answer, CompileAnswer, HitAnswer, LaunchedCall, States } from './daemon/protocol.ts';
import { parseInvocation } from './rustc/invocation.ts';
import { openStore } from './store/store.ts';
import { loadSettings } from './sys/settings.ts';

/** One process answers all calls in turn: what takes it longer than some milliseconds is for one of many. */
const MAX_PROVEN_HERE_BYTES = 8 * 1024 * 1024;

/**
 * What a wrapper would do for this call now; `self` is this program. Blobs of more than `maxProvenBytes` that have to be
 * proven by their bytes are for whoever calls.
 */
export function answer(
  { argv, env, cwd, caller }: LaunchedCall,
  self: string,
  maxProvenBytes = MAX_PROVEN_HERE_BYTES,
): Answer {
  const startedMs = Date.now();
  const invocation = parseInvocation(argv, env, cwd);
  if ('reason' in invocation) return 'none';
  const { settings } = loadSettings(env, invocation.outDir);
  // Whether a hit is due to be verified is for one process to decide, not for two.
  if (settings.disabled || settings.verifyRestores !== 'off') return 'none';
  const store = openStore(settings.cacheDir);
  const reason = bypassReason(invocation, settings);
  if (store.kind === 'problem' || (reason !== undefined && reason !== LINKED)) return 'none';
  const ask = (): undefined => undefined;
  const call = prepare({ invocation, settings, store, startedMs, caller, self, ask });
  if (typeof call === 'string') return 'none';
  if (reason === LINKED) return inPlace(call);
  const base = timed(call.phases, 'key', () => baseOf(call, true));
  if (base === undefined || 'why' in base) return 'none';
  const found = timed(call.phases, 'lookup', () => lookUp(call, base));
  const remote = remoteOf(settings);
  const decide = (what: LookUp): HitAnswer | CompileAnswer | 'none' =>
    what.kind === 'found' ? hit(call, base, { found: what, maxProvenBytes }) : miss(call, base, what);
  if (found.kind === 'found' || remote === undefined) return decide(found);
  return {
    kind: 'later',
    withinMs: settings.remoteWaitSecs * 1000,
    answer: async (inFolder) => {
      const look = (): LookUp => inFolder(() => lookUp(call, base)) ?? found;
      const brought = await lookUpRemotely(call, base, { first: found, remote, look });
      return inFolder(() => decide(brought)) ?? 'none';
    },
  };
}

interface Found {
  readonly found: Extract<LookUp, { kind: 'found' }>;
  readonly maxProvenBytes: number;
}

function hit(call: Call, base: KeyBase, { found, maxProvenBytes }: Found): HitAnswer | 'none' {
  const { store } = call;
  const { entry } = found;
  if (lacksStandIn(call)) return 'none';
  if (sizeOf(entry) > maxProvenBytes && bytesToProve(call, entry) > maxProvenBytes) return 'none';
  const plan = timed(call.phases, 'restore', () => planRestore(call, found));
  if (plan.kind !== 'planned') return 'none';
  let bytes = { reflinked: 0, hardlinked: 0, copied: 0 };
  return {
    kind: 'hit',
    proof: store.temporaryPath(),
    files: mapList(plan.placements, (file) => placedFile(store, file)),
    stdout: plan.stdout,
    stderr: plan.stderr,
    settle: (ways, states) => {
      const carriedOut = { found, plan, ways, states };
      bytes = timed(call.phases, 'restore', () => settleRestored(call, base, carriedOut));
    },
    note: () => noteHit(call, base, { entry, bytes }),
  };
}

function miss(call: Call, base: KeyBase, found: Extract<LookUp, { kind: 'absent' }>): CompileAnswer | 'none' {
  const { predicted, reason } = found;
  if (lacksStandIn(call) || isLarge(call)) return 'none';
  // The lock is the launcher's: it dies with whoever compiles, whatever becomes of this process.
  return compileAnswer(call, lockPath(call, base, predicted?.key), (side) =>
    // Whoever had the lock before may have stored it.
    lookUp(call, base).kind === 'found' ? undefined : beginMiss(call, base, { reason, predicted, ...side }),
  );
}

/** Programs, but for those that Cargo runs while it builds, are large, and their users wait for the link, not for us. */
function isLarge(call: Call): boolean {
  const { outputs, crateName } = call.invocation;
  return outputs.unitKind === 'linked' && !isDependable(call) && !crateName.startsWith('build_script_');
}

/** Linked outputs that are not to be stored. */
function inPlace(call: Call): CompileAnswer | 'none' {
  const base = identityBase(call);
  if (isDependable(call) && base === undefined) return 'none';
  return compileAnswer(call, undefined, (side) => beginLinked(call, base, { reason: LINKED, ...side }));
}

/** A compile that a launcher runs, which has the lock at the path `lock` then. */
function compileAnswer(
  call: Call,
  lock: string | undefined,
  begin: (side: Side) => Begun | undefined,
): CompileAnswer {
  const { outDir, outputs } = call.invocation;
  const names = mapList(outputs.files, ({ name }) => name);
  if (outputs.depInfo !== undefined) names.push(outputs.depInfo);
  const paths = mapList(names, (name) => `${outDir}/${name}`);
  let begun: Begun | undefined;
  let printed: Uint8Array[] = [];
  let left: Left = new Map();
  const leave = (states: States): void => {
    left = new Map(paths.map((path, at) => [path, states[at]]));
  };
  return {
    kind: 'compile',
    proof: call.store.temporaryPath(),
    lock,
    begin: () => {
      begun = begin({ print: (_fd, bytes) => printed.push(bytes), left: () => left });
      return begun === undefined ? undefined : { argv: begun.run.argv, outputs: paths };
    },
    receive: ({ fd, bytes, states }) => {
      printed = [];
      leave(states);
      begun?.run.receive(fd, bytes);
      return Buffer.concat(printed);
    },
    end: (status, states) => {
      if (begun === undefined) return;
      leave(states);
      const compiled = begun.run.end(status);
      try {
        begun.finish(compiled);
      } catch (error) {
        noteFailure(call, compiled.status, error);
      }
    },
    [Symbol.dispose]: () => begun?.[Symbol.dispose](),
  };
}
