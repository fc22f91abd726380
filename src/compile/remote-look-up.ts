// Asking the remote, through the daemon, for what the local store does not have. Only called when a remote is
// configured; never waits longer than its budget, and never fails.
import type { RemoteSettings } from '../core/config.ts';
import { DaemonClient } from '../daemon/client.ts';
import {
  type Availability,
  type BuildInfo,
  configHash,
  PAUSE_MS,
  PROTOCOL_VERSION,
  pauseFile,
  type RemoteConfig,
  remoteConfig,
  START_WAIT_MS,
  socketPath,
} from '../daemon/protocol.ts';
import { startDaemon } from '../daemon/start.ts';
import { withParent } from '../store/store.ts';
import { bestEffort, createFile, removeFile, stat } from '../sys/files.ts';
import { sha256 } from '../sys/hash.ts';
import { type Call, toMicroseconds } from './call.ts';
import type { KeyBase } from './key.ts';
import type { LookUp } from './look-up.ts';

/** What the daemon has to have brought before another look is worth it. */
type Absent = Extract<LookUp, { kind: 'absent' }>;

/**
 * Brings closures and entry of this unit into the store, if the remote has them in time, and looks again. `first` is
 * what the store alone had.
 */
export async function lookUpRemotely(call: Call, base: KeyBase, asked: Asked): Promise<LookUp> {
  const from = performance.now();
  const found = await bring(call, base, asked);
  call.phases.remote = toMicroseconds(performance.now() - from);
  return found;
}

interface Asked {
  readonly first: Absent;
  readonly remote: RemoteSettings;
  /** Looks again, in the folder of the call. */
  readonly look: () => LookUp;
}

async function bring(call: Call, base: KeyBase, { first, remote, look }: Asked): Promise<LookUp> {
  const deadlineMs = Date.now() + call.settings.remoteWaitSecs * 1000;
  if (isPaused(call)) return first;
  const config = remoteConfig(call.settings, remote, call.invocation.env);
  using daemon = await reach(call, { config, deadlineMs });
  if (daemon === undefined) return first;
  const left = (): number => Math.max(0, deadlineMs - Date.now());
  const ask = async (request: string): Promise<Availability> => {
    const answer = await daemon.ask(request, deadlineMs);
    // A daemon answers within its time, also when the remote does not: this one hangs or has gone.
    if (answer === undefined) pause(call);
    return answer === 'found' || answer === 'listed' || answer === 'absent' ? answer : 'later';
  };
  const build: BuildInfo = {
    pid: call.caller.parentPid,
    outDir: call.invocation.outDir,
    cwd: call.invocation.cwd,
    toolchain: sha256(call.toolchain.identity).slice(0, 8),
  };
  if ((await daemon.ask(`build ${JSON.stringify(build)}`, deadlineMs)) === undefined) {
    pause(call);
    return first;
  }
  let absent = first;
  const unit = await ask(`unit ${base.unit} ${left()} ${build.pid}`);
  if (unit === 'later') return absent;
  // What the list of the build had of this unit may be of other sources: then its closures have not been asked for yet.
  const steps =
    unit === 'listed' ? (['look', 'entry', 'closures', 'entry'] as const) : (['look', 'entry'] as const);
  for (const step of steps) {
    const { candidates } = absent;
    if (step === 'entry' && candidates.length === 0) continue;
    if (step !== 'look') {
      const what = step === 'entry' ? candidates.join(',') : base.unit;
      const answer = await ask(`${step} ${what} ${left()}`);
      if (answer === 'later') return absent;
      if (answer === 'absent') continue;
    } else if (unit === 'absent') continue;
    base.sources.lookAgain();
    const found = look();
    if (found.kind === 'found') return found;
    absent = found;
  }
  return absent;
}

/** Connects, and starts the daemon when there is none; undefined when it cannot be had in time. */
async function reach(
  call: Call,
  to: { readonly config: RemoteConfig; readonly deadlineMs: number },
): Promise<DaemonClient | undefined> {
  const { root } = call.store.layout;
  const path = socketPath(root, call.settings);
  const untilMs = Math.min(to.deadlineMs, Date.now() + START_WAIT_MS);
  const hash = configHash(to.config);
  let started = false;
  for (;;) {
    const client = await DaemonClient.connect(path);
    const greeting = await client?.ask(`kache ${PROTOCOL_VERSION} ${hash}`, untilMs);
    if (client !== undefined && greeting === 'ok') return client;
    if (client !== undefined && greeting === 'configure') {
      const proof = await client.ask('prove', untilMs);
      // Only who can write to the store may name a remote that is believed.
      if (proof !== undefined)
        bestEffort(() => withParent(proof, () => createFile(proof, new Uint8Array(), 0o600)));
      const answer = await client.ask(`config ${JSON.stringify(to.config)}`, untilMs);
      if (answer === 'ok') return client;
    }
    client?.[Symbol.dispose]();
    // Nobody there, or one that makes way for a newer program; anything else does not get better by waiting.
    const hasHungUp = greeting === undefined && Date.now() < untilMs;
    const isGone = client === undefined || greeting === 'restart' || hasHungUp;
    if (!isGone || Date.now() >= untilMs) {
      pause(call);
      return undefined;
    }
    if (!started) startDaemon(call.store, call.settings, call.self);
    started = true;
    await Bun.sleep(10);
  }
}

function isPaused({ store }: Call): boolean {
  const since = stat(pauseFile(store.layout.root))?.mtimeSec;
  const ageMs = since === undefined ? undefined : Date.now() - since * 1000;
  return ageMs !== undefined && ageMs < PAUSE_MS;
}

/** Compiles do without the remote for a while: what was lost on it is lost once. */
function pause({ store }: Call): void {
  const path = pauseFile(store.layout.root);
  bestEffort(() => removeFile(path));
  bestEffort(() => withParent(path, () => createFile(path, new Uint8Array(), 0o600)));
}
