// The tools side by side: how each is put in front of rustc, kept private, started and stopped.
import { existsSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import type { Helpers } from './helpers.ts';
import type { Options } from './options.ts';
import { type Environment, tryCapture } from './process.ts';
import type { ToolFacts, ToolName } from './results.ts';

export type Tool = ToolFacts & {
  /** The wrapper's binary; null for none. */
  wrapper: string | null;
  role: 'baseline' | 'ours' | 'public' | 'floor';
  /** The tool whose store this one uses: its own, except for a second way to read the same recording. */
  storeOf: ToolName;
  /** What the tool needs besides RUSTC_WRAPPER to keep everything in `store`. */
  settings: (store: string, checkout: string) => Environment;
  start: string[] | null;
  stop: string[] | null;
};

type Missing = { what: string; why: string };

/** The chosen tools that can run, and the others with the reason. */
export async function findTools(
  options: Options,
  helpers: Helpers,
): Promise<{ tools: Tool[]; missing: Missing[] }> {
  const port = String(await freePort());
  const tools: Tool[] = [];
  const missing: Missing[] = [];
  for (const name of options.tools) {
    const tool = describe(name, { options, helpers, port });
    if (tool.wrapper !== null && !existsSync(tool.wrapper)) {
      missing.push({ what: name, why: `"${tool.wrapper}" does not exist` });
    } else {
      tools.push(tool);
    }
  }
  return { tools, missing };
}

type Parts = { options: Options; helpers: Helpers; port: string };

function describe(name: ToolName, parts: Parts): Tool {
  switch (name) {
    case 'plain':
      return plain();
    case 'kache':
    case 'kache+exe':
      return cacheCalledKache(name, parts.options.kacheBinary, 'ours');
    case 'rust-kache':
    case 'rust-kache+exe':
      return cacheCalledKache(name, join(parts.options.peersDirectory, 'bin', 'kache'), 'public');
    case 'sccache':
      return sccache(join(parts.options.peersDirectory, 'bin', 'sccache'), parts.port);
    case 'floor':
    case 'floor-libs':
      return floor(name, parts.helpers.replayFloor);
  }
}

function plain(): Tool {
  return {
    name: 'plain',
    version: '',
    what: 'cargo without a wrapper, CARGO_INCREMENTAL=0',
    wrapper: null,
    role: 'baseline',
    storeOf: 'plain',
    settings: () => ({}),
    start: null,
    stop: null,
  };
}

/** Both programs of that name take the same settings. */
function cacheCalledKache(name: ToolName, wrapper: string, role: 'ours' | 'public'): Tool {
  const executables = name.endsWith('+exe');
  const which = role === 'ours' ? 'kache of this repository' : 'the public kache written in Rust';
  return {
    name,
    version: versionOf(wrapper),
    what: `${which}, ${executables ? 'KACHE_CACHE_EXECUTABLES=1' : 'default settings'}`,
    wrapper,
    role,
    storeOf: name,
    settings: (store) => ({
      KACHE_CACHE_DIR: store,
      ...(executables ? { KACHE_CACHE_EXECUTABLES: '1' } : {}),
    }),
    start: null,
    stop: role === 'public' ? [wrapper, 'daemon', 'stop'] : null,
  };
}

function sccache(wrapper: string, port: string): Tool {
  return {
    name: 'sccache',
    version: versionOf(wrapper),
    what: 'sccache, default settings, local directory, its server started before the build',
    wrapper,
    role: 'public',
    storeOf: 'sccache',
    settings: (store) => ({ SCCACHE_DIR: store, SCCACHE_SERVER_PORT: port, SCCACHE_IDLE_TIMEOUT: '0' }),
    start: [wrapper, '--start-server'],
    stop: [wrapper, '--stop-server'],
  };
}

function floor(name: 'floor' | 'floor-libs', wrapper: string): Tool {
  const librariesOnly = name === 'floor-libs';
  return {
    name,
    version: '',
    what: librariesOnly
      ? 'the same for libraries only: what is linked is compiled in place, as a cache of libraries must'
      : 'replay floor: a wrapper that puts recorded outputs back, executables too, and checks nothing',
    wrapper,
    role: 'floor',
    storeOf: 'floor',
    settings: (store, checkout) => ({
      REPLAY_FLOOR_DIR: store,
      REPLAY_FLOOR_ROOT: checkout,
      ...(librariesOnly ? { REPLAY_FLOOR_LIBRARIES_ONLY: '1' } : {}),
    }),
    start: null,
    stop: null,
  };
}

function versionOf(wrapper: string): string {
  return existsSync(wrapper) ? (tryCapture([wrapper, '--version'])?.split(/\s+/).at(-1) ?? 'unknown') : '';
}

/** A TCP port nobody listens on now. */
function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      const port = address !== null && typeof address === 'object' ? address.port : 0;
      server.close(() => resolve(port));
    });
  });
}
