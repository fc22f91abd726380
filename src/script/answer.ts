// What a run that is known would put back, for a launcher to put in place: the same as run.ts would, without a process of
// its own.

import { isCallOfStandIn } from '../compile/stand-in.ts';
import type { HitAnswer, LaunchedCall, PlacedFile } from '../daemon/protocol.ts';
import { checkBlob, isSealed, strategies } from '../store/blobs.ts';
import { readUnit } from '../store/closures.ts';
import type { StoredOutput } from '../store/entries.ts';
import { dirname } from '../sys/paths.ts';
import { readList } from './outputs.ts';
import { prepare, type Run } from './prepare.ts';
import { lookUp, noteHit, printedHere } from './run.ts';

/** One process answers all calls in turn: what takes it longer than some milliseconds is for one of many. */
const MAX_INPUTS = 4_000;
const MAX_PROVEN_HERE_BYTES = 8 * 1024 * 1024;

/** Whether a call is one of a stand-in. */
export const isRunCall = ({ argv }: Pick<LaunchedCall, 'argv'>): boolean => isCallOfStandIn(argv[0]);

/** The run to put back for a stand-in's call; starts no program, writes to no output folder, takes no lock. */
export function answerRun(
  { argv, env, cwd, caller }: LaunchedCall,
  self: string,
  maxProvenBytes = MAX_PROVEN_HERE_BYTES,
): HitAnswer | 'none' {
  const [script = '', standIn = '', ...args] = argv;
  const run = prepare({ standIn, script, args, env, cwd, self, caller }, () => undefined);
  if (
    run === undefined ||
    readUnit(run.store, run.unit).closures.some(({ files }) => files.length > MAX_INPUTS)
  )
    return 'none';
  const found = lookUp(run);
  if (found.kind === 'absent') return 'none';
  const { outputs } = found.entry;
  let toProve = 0;
  for (const { blob, sizeBytes } of outputs) if (!isSealed(run.store, blob)) toProve += sizeBytes;
  if (toProve > maxProvenBytes) return 'none';
  const files = placements(run, outputs);
  if (files === undefined) return 'none';
  return {
    kind: 'hit',
    proof: run.store.temporaryPath(),
    files,
    ...printedHere(run, found.entry),
    settle: () => {},
    note: () => noteHit(run, found.entry),
  };
}

/** The files of a tree; undefined where it is more than files, or not whole. */
function placements(run: Run, outputs: readonly StoredOutput[]): PlacedFile[] | undefined {
  const { store, settings, places, input } = run;
  if (outputs.some(({ blob, sizeBytes }) => checkBlob(store, blob, sizeBytes).kind !== 'sound'))
    return undefined;
  const list = readList(store, outputs);
  if (list === undefined || list.links.length > 0) return undefined;
  const folders = new Set(list.files.map((name) => dirname(name)));
  if (list.folders.some((folder) => ![...folders].some((one) => `${one}/`.startsWith(`${folder}/`))))
    return undefined;
  return list.files.map((name, at): PlacedFile => {
    const { blob, sizeBytes, mode } = outputs[at + 1] as StoredOutput;
    const options = { shared: false, mode, linkMode: settings.linkMode };
    return {
      kind: 'blob',
      source: store.layout.blob(blob),
      sizeBytes,
      ways: strategies(store, options),
      mode,
      // Not in the OUT_DIR, which is the script's alone.
      aside: `${dirname(input.standIn)}/.kache/${input.caller.pid}-${at}`,
      target: `${places.outDir}/${name}`,
    };
  });
}
