// What a build on an empty machine costs when everything it needs is in a bucket: round trips of 0, 20 and 100 ms, with
// a bandwidth, through one MinIO for all tools.
//   bun bench/remote.ts [--quick] [--write] [--peers DIR] [--work-dir DIR] [--only NAME,…] [--mbit N] [--server s3s-fs]
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { ACCESS_KEY, BUCKET, SECRET_KEY, startServer } from '../test/support/s3-servers.ts';
import { APPLICATIONS, fetchApplication } from './applications.ts';
import type { Network, ProxyOrder, Traffic } from './delay-proxy.ts';
import { build, checkout, cpuModel, warmUp } from './phases.ts';
import { findTools, forget, kacheBinary, type Tool } from './tools.ts';

const { values } = parseArgs({
  args: process.argv.slice(2),
  options: {
    quick: { type: 'boolean', default: false },
    write: { type: 'boolean', default: false },
    only: { type: 'string' },
    mbit: { type: 'string', default: '400' },
    server: { type: 'string', default: 'minio' },
    peers: { type: 'string', default: join(homedir(), '.cache/kache-bench/peers') },
    'work-dir': { type: 'string', default: join(tmpdir(), `kache-bench-remote-${process.pid}`) },
  },
});

const workDir = values['work-dir'];
mkdirSync(workDir, { recursive: true });
const server = await startServer(values.server === 's3s-fs' ? 's3s-fs' : 'minio', workDir);
if (server === undefined) throw new Error(`Cannot start ${values.server}: it is not installed.`);
const targetPort = Number(new URL(server.endpoint).port);

/** A network in front of the server. */
class NetworkProxy implements Disposable {
  readonly #child;
  readonly #lines: AsyncIterator<string>;
  endpoint = '';

  constructor(network: Network) {
    const order: ProxyOrder = { ...network, targetPort };
    this.#child = Bun.spawn(
      [process.execPath, join(import.meta.dir, 'delay-proxy.ts'), JSON.stringify(order)],
      {
        stdin: 'pipe',
        stdout: 'pipe',
        stderr: 'inherit',
      },
    );
    this.#lines = linesOf(this.#child.stdout);
  }

  async start(): Promise<void> {
    this.endpoint = `http://127.0.0.1:${(await this.#lines.next()).value}`;
  }

  /** What went through since the last call. */
  async take(): Promise<Traffic> {
    this.#child.stdin.write('\n');
    await this.#child.stdin.flush();
    return JSON.parse((await this.#lines.next()).value ?? '{}') as Traffic;
  }

  [Symbol.dispose](): void {
    this.#child.kill();
  }
}

async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<string, undefined> {
  let rest = '';
  const decoder = new TextDecoder();
  for await (const chunk of stream) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n');
    rest = lines.pop() ?? '';
    yield* lines;
  }
  return undefined;
}

/** A tool with its remote: what it needs besides its own environment, what must run before a build, and how it empties its queue. */
interface RemoteTool {
  readonly tool: Tool;
  readonly label: string;
  readonly remote: (endpoint: string) => Record<string, string>;
  readonly start?: (env: Record<string, string>) => void;
  readonly flush?: (env: Record<string, string>) => void;
}

const ours = (endpoint: string): Record<string, string> => ({
  KACHE_S3_BUCKET: BUCKET,
  KACHE_S3_ENDPOINT: endpoint,
  KACHE_S3_ACCESS_KEY: ACCESS_KEY,
  KACHE_S3_SECRET_KEY: SECRET_KEY,
  KACHE_S3_REGION: 'us-east-1',
});

const run = (argv: readonly string[], env: Record<string, string>): void => {
  Bun.spawnSync([...argv], { env: { ...process.env, ...env }, stdout: 'ignore', stderr: 'ignore' });
};

function remoteTools(): { list: RemoteTool[]; missing: readonly string[] } {
  const { tools, missing } = findTools(workDir, values.peers);
  const list: RemoteTool[] = [];
  for (const tool of tools) {
    if (tool.name === 'plain') list.push({ tool, label: 'plain cargo', remote: () => ({}) });
    if (tool.name === 'kache' || tool.name === 'kache+exe') {
      const stop = (state: string): void =>
        run([kacheBinary, 'daemon', 'stop'], tool.env(state, { from: '', to: '' }));
      for (const prefetch of [true, false]) {
        const remote = (endpoint: string) => ({
          ...ours(endpoint),
          KACHE_S3_PREFIX: `ours-${tool.name === 'kache' ? 'libraries' : 'all'}`,
          KACHE_PREFETCH_ENABLED: prefetch ? '1' : '0',
        });
        const flush = (env: Record<string, string>): void => run([kacheBinary, 'sync', '--push'], env);
        const label = `${tool.name}${prefetch ? '' : ', no prefetch'}`;
        list.push({ tool: { ...tool, stop }, label, remote, flush });
      }
    }
    if (tool.name === 'sccache') {
      const remote = (endpoint: string) => ({
        SCCACHE_BUCKET: BUCKET,
        SCCACHE_ENDPOINT: endpoint,
        SCCACHE_REGION: 'us-east-1',
        SCCACHE_S3_USE_SSL: 'false',
        SCCACHE_S3_KEY_PREFIX: 'sccache',
        AWS_ACCESS_KEY_ID: ACCESS_KEY,
        AWS_SECRET_ACCESS_KEY: SECRET_KEY,
      });
      list.push({ tool, label: tool.name, remote });
    }
    if (tool.name === 'rust-kache') {
      const path = join(values.peers, 'bin', 'kache');
      const remote = (endpoint: string) => ({ ...ours(endpoint), KACHE_S3_PREFIX: 'rust-kache' });
      // Started in the background it leaves out a remote that only variables name.
      const start = (env: Record<string, string>): void => {
        Bun.spawn([path, 'daemon', 'run'], {
          env: { ...process.env, ...env },
          stdio: ['ignore', 'ignore', 'ignore'],
        }).unref();
        const socket = join(env['KACHE_CACHE_DIR'] ?? '', 'daemon.sock');
        for (let wait = 0; !existsSync(socket) && wait < 100; wait++) Bun.sleepSync(50);
      };
      const flush = (env: Record<string, string>): void => run([path, 'sync', '--push'], env);
      list.push({ tool, label: tool.name, remote, start, flush });
    }
  }
  return { list, missing };
}

interface Row {
  readonly application: string;
  readonly tool: string;
  /** Undefined: the local store had everything, in another folder. */
  readonly roundTripMs: number | undefined;
  readonly seconds: number;
  readonly traffic: Traffic | undefined;
}

const bytesPerSecond = (Number(values.mbit) * 1e6) / 8;
const roundTrips = values.quick ? [20] : [0, 20, 100];
const only = values.quick ? ['workspace'] : values.only?.split(',');
const applications = APPLICATIONS.filter(({ name }) => only?.includes(name) ?? name !== 'mdbook');
const { list, missing } = remoteTools();
const rows: Row[] = [];

function report(row: Row): void {
  rows.push(row);
  const { application, tool, roundTripMs, seconds, traffic } = row;
  console.error(
    `${application} ${tool} ${roundTripMs ?? 'local'} ms: ${seconds.toFixed(2)} s, ${traffic?.requests ?? 0} requests`,
  );
}

/** The first machine, which fills the bucket and builds again in another folder, and then one machine with nothing for each round trip. */
async function measure(application: string, source: string, one: RemoteTool): Promise<void> {
  const { tool, label, remote, start, flush } = one;
  const machine = async (name: string, network: Network, builds: number): Promise<Row[]> => {
    const state = join(workDir, 'machines', `${application}-${label.replace(/\W+/g, '-')}-${name}`);
    forget(state);
    mkdirSync(state, { recursive: true });
    using proxy = new NetworkProxy(network);
    await proxy.start();
    const done: Row[] = [];
    for (let at = 0; at < builds; at++) {
      const dir = checkout(source, join(state, `${name}-${at}`, 'app'));
      const env = { ...tool.env(state, { from: dir, to: dir }), ...remote(proxy.endpoint) };
      if (at === 0) start?.(env);
      const { seconds } = build(dir, env);
      const traffic = await proxy.take();
      done.push({ application, tool: label, roundTripMs: network.roundTripMs, seconds, traffic });
      flush?.(env);
    }
    tool.stop?.(state);
    forget(state);
    return done;
  };
  const fast = { roundTripMs: 0, bytesPerSecond: 1e9 };
  // With a bucket sccache has no store of its own.
  const hasStore = tool.name !== 'plain' && tool.name !== 'sccache';
  const [cold, local] = await machine('first', fast, hasStore ? 2 : 1);
  if (cold !== undefined && tool.name === 'plain') report({ ...cold, traffic: undefined });
  if (tool.name === 'plain') return;
  if (local !== undefined) report({ ...local, roundTripMs: undefined, traffic: undefined });
  for (const roundTripMs of roundTrips)
    for (const row of await machine(`second-${roundTripMs}`, { roundTripMs, bytesPerSecond }, 1)) report(row);
}

for (const application of applications) {
  const source = fetchApplication(application, workDir);
  warmUp(source, workDir);
  for (const one of list) await measure(application.name, source, one);
  written();
}

/** The document of what has been measured so far; after each application, so that a run cut short is not lost. */
function written(): void {
  const mb = (bytes: number | undefined): string => (bytes === undefined ? '–' : (bytes / 1e6).toFixed(1));
  const table = rows.map((row) => {
    const { application, tool, roundTripMs, seconds, traffic } = row;
    const local = rows.find(
      (other) => other.application === application && other.tool === tool && other.roundTripMs === undefined,
    );
    const where = tool === 'plain cargo' ? 'no cache' : (roundTripMs ?? 'local store');
    const ratio = local === undefined || tool === 'plain cargo' ? '–' : (seconds / local.seconds).toFixed(2);
    return `| ${application} | ${tool} | ${where} | ${seconds.toFixed(2)} | ${ratio} | ${traffic?.requests ?? '–'} | ${mb(traffic?.downBytes)} | ${mb(traffic?.upBytes)} |`;
  });
  const text = `# Benchmarks: an empty machine and a full bucket

Written by \`bun bench/remote.ts --write\`, ${new Date().toISOString().slice(0, 10)}, ${cpuModel()}, ${navigator.hardwareConcurrency} cores, server ${server?.name}, ${values.mbit} Mbit/s.

One machine builds and fills the bucket, and builds once more in another folder: *local store*. Then a machine that has
nothing builds the same application, through a proxy that adds a round trip (and one more for each connection) and
limits the bandwidth. *Requests* and megabytes are what went through the proxy until Cargo had ended, those of uploads
included. Plain cargo has no remote.

| application | tool | round trip, ms | seconds | / local store | requests | MB down | MB up |
|---|---|---|---|---|---|---|---|
${table.join('\n')}
${missing.length > 0 ? `\nNot installed on this machine: ${missing.join(', ')}.\n` : ''}`;
  console.log(text);
  if (values.write) writeFileSync(join(import.meta.dir, '..', 'docs', 'benchmarks-remote.md'), text);
}

await server[Symbol.asyncDispose]();
rmSync(workDir, { recursive: true, force: true });
