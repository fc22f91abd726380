// What stands between kache and rustc: a script that adds flags, by what it reads or by what it is; a program that compiles
// something else; other names of the compiler itself.
import { afterAll, expect, test } from 'bun:test';
import { chmodSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type CargoResult, type Env, Lab } from '../support/lab.ts';

const TIMEOUT_MS = 120_000;

const lab = new Lab();
afterAll(() => lab[Symbol.dispose](), TIMEOUT_MS);

const sysroot = lab.run(['rustc', '--print', 'sysroot']).stdout.trim();
const dir = lab.write('project', {
  'Cargo.toml':
    '[package]\nname = "told"\nversion = "0.1.0"\nedition = "2021"\n[lints.rust]\nunexpected_cfgs = "allow"\n',
  'src/lib.rs':
    'pub fn told() -> &\'static str { if cfg!(one) { "one" } else if cfg!(two) { "two" } else { "nothing" } }\n',
  'src/main.rs': 'fn main() { println!("{}", told::told()); }\n',
});

/** A fresh build: what the program says, and what became of its library. */
function built(env: Env, command = 'build'): { says: string; library: string } {
  rmSync(join(dir, 'target'), { recursive: true, force: true });
  const done: CargoResult = lab.cargo(dir, [command, '--offline'], {
    env: { KACHE_TRUSTED_COMPILERS: '', ...env },
  });
  if (done.status !== 0) throw new Error(done.stderr);
  const event = done.events.find(({ crate_types }) => crate_types === 'lib');
  return {
    says: command === 'build' ? lab.run([join(dir, 'target/debug/told')]).stdout.trim() : '',
    library: [event?.result, event?.passthrough_reason ?? ''].join(' ').trim(),
  };
}

function script(name: string, text: string): string {
  const path = join(lab.write(`front/${name}`, { rustc: `#!/bin/sh\n${text}\n` }), 'rustc');
  chmodSync(path, 0o755);
  return path;
}

const UNKNOWN = 'passthrough unsupported|in-front-of-rustc rustc';
const exec = `exec ${sysroot}/bin/rustc`;

test(
  'what a script in front of rustc compiles is not kept, nor what is kept served for it',
  () => {
    expect(built({})).toEqual({ says: 'nothing', library: 'miss' });
    const said = lab.path('says');
    const byFile = script('by-a-file', `${exec} --cfg "$(cat ${said})" "$@"`);
    const byVariable = script('by-a-variable', `${exec} --cfg "$CFG" "$@"`);
    for (const word of ['one', 'two', 'one']) {
      writeFileSync(said, word);
      expect(built({ RUSTC: byFile })).toEqual({ says: word, library: UNKNOWN });
      expect(built({ RUSTC: byVariable, CFG: word })).toEqual({ says: word, library: UNKNOWN });
    }
    expect(built({})).toEqual({ says: 'nothing', library: 'local_hit' });
  },
  TIMEOUT_MS,
);

test(
  'one that is vouched for is kept by its content',
  () => {
    const flags = (word: string): Env => {
      const rustc = script('vouched', `${exec} --cfg ${word} "$@"`);
      return { RUSTC: rustc, KACHE_TRUSTED_COMPILERS: `/elsewhere/*,${lab.path('front/*/rustc')}` };
    };
    expect(built(flags('one'))).toEqual({ says: 'one', library: 'miss' });
    expect(built(flags('two'))).toEqual({ says: 'two', library: 'miss' });
    expect(built(flags('one'))).toEqual({ says: 'one', library: 'local_hit' });
    expect(built({})).toEqual({ says: 'nothing', library: 'local_hit' });
  },
  TIMEOUT_MS,
);

test(
  'a program that answers as rustc does and compiles otherwise is no rustc',
  () => {
    const front = lab.write('driver', {
      'driver.c': `#include <string.h>
#include <unistd.h>
int main(int count, char **given) {
  char *argv[count + 3];
  memcpy(argv, given, count * sizeof *argv);
  argv[count] = "--cfg";
  argv[count + 1] = "one";
  argv[count + 2] = 0;
  return execv("${sysroot}/bin/rustc", argv);
}
`,
    });
    expect(lab.run(['cc', '-o', join(front, 'rustc'), join(front, 'driver.c')]).status).toBe(0);
    expect(built({ RUSTC: join(front, 'rustc') })).toEqual({ says: 'one', library: UNKNOWN });
    expect(built({})).toEqual({ says: 'nothing', library: 'local_hit' });
  },
  TIMEOUT_MS,
);

test(
  'rustc under another name is rustc',
  () => {
    const links = lab.write('links', { '.keep': '' });
    symlinkSync(join(sysroot, 'bin/rustc'), join(links, 'rustc'));
    expect(built({ RUSTC: join(links, 'rustc') })).toEqual({ says: 'nothing', library: 'local_hit' });
  },
  TIMEOUT_MS,
);

test(
  'a script in front of clippy is not known either',
  () => {
    const bin = join(
      lab.write('clippy', { 'clippy-driver': `#!/bin/sh\nexec ${sysroot}/bin/clippy-driver "$@"\n` }),
      'clippy-driver',
    );
    chmodSync(bin, 0o755);
    const env = { RUSTC_WORKSPACE_WRAPPER: bin };
    expect(built(env, 'check').library).toBe('passthrough unsupported|in-front-of-rustc clippy-driver');
    expect(built({ ...env, KACHE_TRUSTED_COMPILERS: bin }, 'check').library).toBe('miss');
    expect(built({ ...env, KACHE_TRUSTED_COMPILERS: bin }, 'check').library).toBe('local_hit');
  },
  TIMEOUT_MS,
);
