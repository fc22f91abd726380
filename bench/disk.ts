// What a second target directory costs on disk, and which compilers are started to fill it.
import { mkdirSync, readdirSync, rmSync, statSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import type { Application } from './applications.ts';
import { isCompile, isLibrary, readCalls } from './calls.ts';
import { MountedFilesystem, whyNot } from './loop-filesystem.ts';
import { capture, type Environment } from './process.ts';
import type { LoopFilesystem } from './results.ts';
import {
  build,
  type Context,
  checkOut,
  fail,
  firstDirectory,
  openSession,
  otherDirectory,
  type Session,
  startTool,
  stopTool,
} from './session.ts';
import type { Tool } from './tools.ts';

const FILESYSTEMS: readonly LoopFilesystem[] = ['ext4', 'xfs', 'btrfs'];

/** Measures every tool with a store of its own on every file system that can be had. */
export async function measureDisk(
  context: Context,
  applications: Application[],
  tools: Tool[],
): Promise<void> {
  const caches = tools.filter((tool) => tool.role === 'ours' || tool.role === 'public');
  let counted = false;
  for (const kind of FILESYSTEMS) {
    const why = whyNot(kind);
    if (why !== null) {
      context.results.notRun.push({ what: `disk use on ${kind}`, why });
      continue;
    }
    using filesystem = new MountedFilesystem(kind, context.work);
    const place: Place = { base: filesystem.path, disk: { kind, filesystem }, count: !counted };
    await measureAll(context, { applications, tools: caches, place });
    counted = true;
  }
  if (!counted) {
    const base = join(context.work, 'counted');
    await measureAll(context, { applications, tools: caches, place: { base, disk: null, count: true } });
    rmSync(base, { recursive: true, force: true });
  }
}

/** Where to build; what to measure there. */
type Place = {
  base: string;
  disk: { kind: LoopFilesystem; filesystem: MountedFilesystem } | null;
  count: boolean;
};

async function measureAll(
  context: Context,
  { applications, tools, place }: { applications: Application[]; tools: Tool[]; place: Place },
): Promise<void> {
  for (const application of applications) {
    for (const tool of tools) {
      const session = openSession(context, application, tool, place.base);
      try {
        await measureSecondTarget(session, place);
      } finally {
        stopTool(session);
        rmSync(session.root, { recursive: true, force: true });
      }
    }
  }
}

async function measureSecondTarget(session: Session, { disk, count }: Place): Promise<void> {
  const where = disk === null ? '' : ` on ${disk.kind}`;
  const second = otherDirectory(session, 0);
  await startTool(session);
  checkOut(session, firstDirectory(session));
  checkOut(session, second);
  const counting = countedCompiler(session);
  const first = await build(session, firstDirectory(session), { extra: counting.environment });
  if (first.kind === 'failed') {
    return fail(session, `first build${where}`, first);
  }
  counting.reset();
  const before = disk?.filesystem.usedBytes() ?? 0;
  const warm = await build(session, second, { extra: counting.environment });
  if (warm.kind === 'failed') {
    return fail(session, `second build${where}`, warm);
  }
  if (count) {
    noteCompilers(session, counting.folder);
  }
  counting.reset();
  if (disk !== null) {
    noteDisk(session, disk, before);
  }
}

/** Replaces rustc by a program of that name that leaves a record and becomes rustc. */
function countedCompiler(session: Session): { folder: string; environment: Environment; reset: () => void } {
  const { helpers, environment, work } = session.context;
  const folder = join(work, 'compiler-calls');
  const shim = join(work, 'counted');
  const reset = (): void => {
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true });
  };
  reset();
  rmSync(shim, { recursive: true, force: true });
  mkdirSync(shim);
  symlinkSync(helpers.callRecorder, join(shim, 'rustc'));
  const sysroot = capture(['rustc', '--print', 'sysroot'], { env: environment });
  return {
    folder,
    reset,
    environment: {
      RUSTC: join(shim, 'rustc'),
      CALL_RECORDER_DIR: folder,
      CALL_RECORDER_TARGET: join(sysroot, 'bin', 'rustc'),
    },
  };
}

function noteCompilers(session: Session, folder: string): void {
  const compiles = readCalls(folder).filter(isCompile);
  const libraries = compiles.filter(isLibrary).length;
  session.context.results.compilers.push({
    application: session.application.name,
    tool: session.tool.name,
    libraries,
    others: compiles.length - libraries,
  });
}

function noteDisk(
  session: Session,
  { kind, filesystem }: { kind: LoopFilesystem; filesystem: MountedFilesystem },
  before: number,
): void {
  const { application, tool, context } = session;
  const target = join(otherDirectory(session, 0), 'target');
  const after = filesystem.usedBytes();
  const files = filesUnder(target);
  const libraries = files.filter((file) => /\.(rlib|rmeta)$/.test(file));
  const libraryBytes = bytesOf(libraries, (stat) => stat.size);
  const targetBytes = bytesOf(files, (stat) => stat.blocks * 512);
  for (const library of libraries) {
    rmSync(library);
  }
  const libraryOwnBytes = after - filesystem.usedBytes();
  context.results.disk.push({
    application: application.name,
    tool: tool.name,
    filesystem: kind,
    targetBytes,
    addedBytes: after - before,
    libraryBytes,
    libraryOwnBytes,
  });
  const share = ((100 * libraryOwnBytes) / libraryBytes).toFixed(1);
  context.say(`${application.name}: ${tool.name} on ${kind}: ${share} % of the libraries of a second target`);
}

function filesUnder(directory: string): string[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

/** The sum of a property, each inode once. */
function bytesOf(files: string[], size: (stat: { size: number; blocks: number }) => number): number {
  const inodes = new Map(files.map((file) => statSync(file)).map((stat) => [stat.ino, size(stat)]));
  return [...inodes.values()].reduce((sum, bytes) => sum + bytes, 0);
}
