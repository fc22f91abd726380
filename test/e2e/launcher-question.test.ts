// What Cargo asks first, and others ask, too: whatever the launcher does meanwhile, the compiler answers, and the launcher ends
// as it does.
import { afterAll, beforeAll, expect } from 'bun:test';
import { chmodSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { KACHE, Lab } from '../support/lab.ts';
import { hitSocketOf } from '../support/launcher.ts';
import { linuxOnly } from '../support/linux.ts';
import { FakeDaemon, framed } from '../support/relay.ts';
import { stopDaemon, until } from '../support/wrapper-call.ts';

const TIMEOUT_MS = 60_000;
const onLinux = linuxOnly('questions to the launcher', 'it is there for Linux only');
const lab = new Lab();
afterAll(() => lab[Symbol.dispose](), TIMEOUT_MS);

const COMPILERS: Readonly<Record<string, string>> = {
  'that answers': 'echo rustc 1.2.3; echo said >&2',
  'that fails': 'echo no >&2; exit 3',
  'that is killed': 'echo half; kill -KILL $$',
  'that is interrupted': 'kill -INT $$; sleep 5',
  'that crashes': 'ulimit -c 0; kill -SEGV $$',
  'that writes into a closed pipe': 'while echo y; do :; done',
  'that reads': 'cat',
};

let launcher = '';
const compiler = (name: string): string => join(lab.path('compilers'), name, 'rustc');
beforeAll(() => {
  if (process.platform !== 'linux') return;
  launcher = lab.launcher();
  // There are plans: folders are filled.
  mkdirSync(join(lab.store, 'hashes', 'fingerprints'), { recursive: true });
  mkdirSync(join(lab.store, 'daemon'), { recursive: true, mode: 0o700 });
  for (const [name, text] of Object.entries(COMPILERS)) {
    lab.write(`compilers/${name}`, { rustc: `#!/bin/sh\n${text}\n` });
    chmodSync(compiler(name), 0o755);
  }
  lab.write('compilers/that cannot be run', { rustc: 'text' });
}, TIMEOUT_MS);

const script = (name: string, path: string): string => {
  const call = `"$@" "${path}" -vV`;
  return name.includes('closed pipe')
    ? `exec 3>&1; { ${call}; echo "$?" >&3; } | head -n 1`
    : `echo given | ${call}; echo "$?"`;
};

/** What a compiler says by itself, and behind the launcher. */
const asked = (name: string, wrapper: readonly string[]) => {
  const [shell, ...args] = ['bash', '-c', script(name, compiler(name)), 'bash', ...wrapper];
  const done = Bun.spawnSync([shell ?? '', ...args], {
    env: { ...lab.env({ KACHE_CACHE_FINGERPRINTS: '1' }) },
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'pipe',
  });
  return [done.exitCode, done.stdout.toString()];
};

for (const daemon of ['with a daemon', 'without one', 'with a daemon that says nothing'] as const)
  onLinux(
    `a compiler ${daemon}`,
    async () => {
      for (const name of Object.keys(COMPILERS)) {
        using _fake =
          daemon === 'with a daemon that says nothing'
            ? new FakeDaemon(hitSocketOf(lab.store), () => {})
            : undefined;
        if (daemon === 'with a daemon') lab.run([KACHE, 'daemon', 'start']);
        if (daemon === 'without one') await stopDaemon(lab);
        expect([name, ...asked(name, [launcher])]).toEqual([name, ...asked(name, ['env'])]);
      }
      await stopDaemon(lab);
    },
    TIMEOUT_MS,
  );

onLinux(
  'nothing more comes into a target folder when nobody reads the answer any more, as when Cargo has been killed',
  async () => {
    using fake = new FakeDaemon(hitSocketOf(lab.store), (peer, _frame, nth) => {
      const folder = lab.path('target', `${nth}`);
      if (nth === 1) peer.write(framed(['fill', lab.path('proof'), 'folder', folder].join('\0')));
      else setTimeout(() => peer.write(framed(['put', 'folder', folder].join('\0'))), 50);
    });
    const fifo = lab.path('answer');
    Bun.spawnSync(['mkfifo', fifo]);
    const reader = Bun.spawn(['cat', fifo], { stdio: ['ignore', 'ignore', 'ignore'] });
    Bun.spawn(['sh', '-c', 'exec "$@" > "$0"', fifo, launcher, compiler('that answers'), '-vV'], {
      env: lab.env({ KACHE_CACHE_FINGERPRINTS: '1' }),
      stdio: ['ignore', 'ignore', 'ignore'],
    });
    await until('it is filled', () => fake.asked > 4);
    reader.kill('SIGKILL');
    await Bun.sleep(200);
    const { asked } = fake;
    await Bun.sleep(300);
    expect(fake.asked).toBe(asked);
  },
  TIMEOUT_MS,
);
