// What look-ups of a store have to know and programs have to be asked for: the compiler, its linker, the stand-in of build
// scripts. The daemon starts no program of a build; a process that acts for the build does it here, before it fills anything.
import { linkStep } from '../compile/link.ts';
import { prepare } from '../compile/prepare.ts';
import { lacksStandIn, makeStandIn } from '../compile/stand-in.ts';
import type { LaunchedCall } from '../daemon/protocol.ts';
import { awaitAnswering, startAnswering } from '../daemon/start.ts';
import { parseInvocation } from '../rustc/invocation.ts';
import { outputOf } from '../sys/process.ts';
import { loadSettings } from '../sys/settings.ts';
import { callOf, planFor } from './fill.ts';

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
