// The order of everything at one application: phases outside, tools inside, so that a drifting machine
// treats all tools alike; the order of the tools turns round every round.
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Application } from './applications.ts';
import { measureHits } from './hits.ts';
import { loadAverage } from './machine.ts';
import {
  cold,
  editedLeaf,
  sameProgram,
  type Turn,
  untouched,
  warmElsewhere,
  warmSameDirectory,
} from './phases.ts';
import { type Context, firstDirectory, openSession, runProgram, type Session, stopTool } from './session.ts';
import type { Tool } from './tools.ts';

export type Plan = { rounds: number; repeats: number; hits: boolean };

export async function measureApplication(
  context: Context,
  application: Application,
  tools: Tool[],
  plan: Plan,
): Promise<void> {
  const base = join(context.work, 'builds');
  const all = tools.map((tool) => openSession(context, application, tool, base));
  try {
    for (let round = 0; round < plan.rounds; round += 1) {
      const sessions = round % 2 === 0 ? all : all.toReversed();
      context.results.order.push({
        application: application.name,
        round,
        order: sessions.map((session) => session.tool.name),
        loadAverage: loadAverage(),
      });
      await measureRound(sessions, { round, plan, last: round === plan.rounds - 1 });
    }
  } finally {
    all.forEach(stopTool);
    rmSync(join(base, application.name), { recursive: true, force: true });
  }
}

async function measureRound(
  all: Session[],
  { round, plan, last }: { round: number; plan: Plan; last: boolean },
): Promise<void> {
  let sessions = all;
  const each = async (
    step: (session: Session, turn: Turn) => Promise<boolean>,
    repeats = 1,
  ): Promise<void> => {
    for (let repeat = 0; repeat < repeats; repeat += 1) {
      const going: Session[] = [];
      for (const session of sessions) {
        if (await step(session, { round, repeat })) {
          going.push(session);
        }
      }
      sessions = going;
    }
  };
  const only =
    (wanted: (session: Session) => boolean, step: (session: Session, turn: Turn) => Promise<boolean>) =>
    (session: Session, turn: Turn): Promise<boolean> =>
      wanted(session) ? step(session, turn) : Promise.resolve(true);
  const wrapped = (session: Session): boolean => session.tool.role !== 'baseline';
  const checking = (session: Session): boolean => session.tool.role !== 'floor';

  await each(cold);
  const expected = expectedOutput(sessions);
  await each(only(wrapped, warmElsewhere), plan.repeats);
  await each(untouched);
  await each(only(wrapped, async (session) => expected === undefined || sameProgram(session, expected)));
  await each(only(wrapped, warmSameDirectory), plan.repeats);
  await each(only(checking, editedLeaf), plan.repeats);
  if (last && plan.hits) {
    await each(
      only((session) => wrapped(session) && session.tool.storeOf === session.tool.name, measureHits),
    );
  }
  all.filter((session) => session.tool.role !== 'floor').forEach(stopTool);
}

/** What the plainly built program prints; undefined when plain cargo is not among the tools. */
function expectedOutput(sessions: Session[]): string | null | undefined {
  const plain = sessions.find((session) => session.tool.role === 'baseline');
  return plain === undefined ? undefined : runProgram(plain, firstDirectory(plain));
}
