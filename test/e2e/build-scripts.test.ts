// Runs of build scripts that are kept: whatever a script reads, the next build of it is what plain cargo would build.
import { describe, expect } from 'bun:test';
import { chmodSync, rmSync, statSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Env, Files } from '../support/lab.ts';
import { HIT, KEPT_RUN, scriptTests } from '../support/script-lab.ts';

const MINUTES = 60_000;
const { scripts, lab, onLinux } = scriptTests('what a kept build script reads');

/** What a script may look at outside of its checkout; the variable INPUTS says where. */
interface Place {
  readonly dir: string;
  readonly inputs: string;
}

interface Change {
  readonly script: string;
  readonly files?: Files;
  readonly inputs?: Files;
  readonly env?: (place: Place) => Env;
  readonly prepare?: (place: Place) => void;
  /** What is another way when the second build begins. */
  readonly change?: (place: Place) => void;
  /** Variables of the second build. */
  readonly later?: (place: Place) => Env;
}

let count = 0;
/** One checkout, built, changed, and built again from nothing: the second build must see the change. */
function seen(name: string, change: Change, expected = KEPT_RUN): void {
  onLinux(
    `seen: ${name}`,
    () => {
      const place: Place = {
        dir: scripts.checkout(change.script, change.files),
        inputs: lab.write(`inputs/${++count}`, { 'always.txt': '', ...change.inputs }),
      };
      change.prepare?.(place);
      const env = { INPUTS: place.inputs, ...change.env?.(place) };
      const first = scripts.right(place.dir, { env });
      expect(first).toEqual([expected]);
      if (expected === KEPT_RUN) expect(scripts.right(place.dir, { env })).toEqual([HIT]);
      change.change?.(place);
      scripts.right(place.dir, { env: { ...env, ...change.later?.(place) } });
    },
    2 * MINUTES,
  );
}

const SAME = 'x';
describe('variables', () => {
  const reads = 'variable("READ_BY_TESTS")';
  const set = (value: string | undefined) => (): Env => ({ READ_BY_TESTS: value });
  seen('one changes', { script: reads, env: set('a'), later: set('b') });
  seen('one appears', { script: reads, later: set('b') });
  seen('one disappears', { script: reads, env: set('a'), later: set(undefined) });
  seen('one is empty', { script: reads, later: set('') });
  seen('the terminal', {
    script: 'variable("TERM")',
    env: () => ({ TERM: 'a' }),
    later: () => ({ TERM: 'b' }),
  });
  seen('lines', { script: 'variable("LINES")', env: () => ({ LINES: '7' }), later: () => ({ LINES: '8' }) });
  seen('make flags', {
    script: 'variable("MAKEFLAGS")',
    env: () => ({ MAKEFLAGS: 's' }),
    later: () => ({ MAKEFLAGS: 'ks' }),
  });
  seen('one that sh cannot hold', {
    script: 'variable("CC_x86_64-unknown-linux-gnu")',
    env: () => ({ 'CC_x86_64-unknown-linux-gnu': 'a' }),
    later: () => ({ 'CC_x86_64-unknown-linux-gnu': 'b' }),
  });
  seen('the order of PATH', {
    script: 'said("told", &[])',
    inputs: { 'a/told': '#!/bin/sh\necho a\n', 'b/told': '#!/bin/sh\necho b\n' },
    prepare: ({ inputs }) => {
      for (const name of ['a', 'b']) chmodSync(join(inputs, name, 'told'), 0o755);
    },
    env: ({ inputs }) => ({ PATH: `${inputs}/a:${inputs}/b:${process.env['PATH']}` }),
    later: ({ inputs }) => ({ PATH: `${inputs}/b:${inputs}/a:${process.env['PATH']}` }),
  });
});

describe('files', () => {
  const input = 'let inputs = PathBuf::from(variable("INPUTS"));';
  const read = `${input} text(inputs.join("a.txt"))`;
  seen('a file of the package is edited', {
    script: 'text("data.txt")',
    files: { 'scripted/data.txt': 'one' },
    change: ({ dir }) => writeFileSync(join(dir, 'scripted/data.txt'), 'two'),
  });
  seen('a file outside is edited', {
    script: read,
    inputs: { 'a.txt': 'one' },
    change: ({ inputs }) => writeFileSync(join(inputs, 'a.txt'), 'two'),
  });
  seen('a file appears', {
    script: read,
    change: ({ inputs }) => writeFileSync(join(inputs, 'a.txt'), 'two'),
  });
  seen('a file is gone', {
    script: read,
    inputs: { 'a.txt': 'one' },
    change: ({ inputs }) => rmSync(join(inputs, 'a.txt')),
  });
  seen('a file of the same size and time', {
    script: read,
    inputs: { 'a.txt': 'one' },
    change: ({ inputs }) => {
      const { mtime } = statSync(join(inputs, 'a.txt'));
      writeFileSync(join(inputs, 'a.txt'), 'two');
      utimesSync(join(inputs, 'a.txt'), mtime, mtime);
    },
  });
  seen('a folder becomes a file', {
    script: `${input} format!("{} {}", inputs.join("a").is_dir(), text(inputs.join("a/b")))`,
    inputs: { 'a/b': 'one' },
    change: ({ inputs }) => {
      rmSync(join(inputs, 'a'), { recursive: true });
      writeFileSync(join(inputs, 'a'), '');
    },
  });
  seen('a header earlier on the include path', {
    script: `${input}
      let (a, b) = (inputs.join("a"), inputs.join("b"));
      said("cc", &["-E", "-P", "-I", a.to_str().unwrap(), "-I", b.to_str().unwrap(), "look.c"])`,
    files: { 'scripted/look.c': '#include "word.h"\n' },
    inputs: { 'b/word.h': 'one\n', 'a/other.h': '' },
    change: ({ inputs }) => writeFileSync(join(inputs, 'a/word.h'), 'two\n'),
  });
  seen('a program earlier on PATH', {
    script: 'said("told", &[])',
    inputs: { 'b/told': '#!/bin/sh\necho b\n', 'a/other': '' },
    prepare: ({ inputs }) => chmodSync(join(inputs, 'b/told'), 0o755),
    env: ({ inputs }) => ({ PATH: `${inputs}/a:${inputs}/b:${process.env['PATH']}` }),
    change: ({ inputs }) => writeFileSync(join(inputs, 'a/told'), '#!/bin/sh\necho a\n', { mode: 0o755 }),
  });
  seen('a file can be run', {
    script: `${input} use std::os::unix::fs::PermissionsExt; format!("{:o}", fs::metadata(inputs.join("a.txt")).unwrap().permissions().mode())`,
    inputs: { 'a.txt': 'one' },
    change: ({ inputs }) => chmodSync(join(inputs, 'a.txt'), 0o755),
  });
  const names = `${input}
    let mut names: Vec<_> = fs::read_dir(inputs.join("d")).unwrap().map(|e| { let e = e.unwrap(); format!("{:?} {:?}", e.file_name(), e.file_type().unwrap().is_symlink()) }).collect();
    names.sort();
    format!("{names:?}")`;
  seen('a listing gains a name', {
    script: names,
    inputs: { 'd/a': '' },
    change: ({ inputs }) => writeFileSync(join(inputs, 'd/b'), ''),
  });
  seen('a listed file becomes a link', {
    script: names,
    inputs: { 'd/a': '', b: '' },
    change: ({ inputs }) => {
      rmSync(join(inputs, 'd/a'));
      symlinkSync(join(inputs, 'b'), join(inputs, 'd/a'));
    },
  });
  seen('a link leads to another file with the same content', {
    script: `${input} format!("{:?}", fs::read_link(inputs.join("l")).unwrap().file_name())`,
    inputs: { a: SAME, b: SAME },
    prepare: ({ inputs }) => symlinkSync(join(inputs, 'a'), join(inputs, 'l')),
    change: ({ inputs }) => {
      rmSync(join(inputs, 'l'));
      symlinkSync(join(inputs, 'b'), join(inputs, 'l'));
    },
  });
  seen('a file is reached through a link and back', {
    script: `${input} text(inputs.join("l/../a.txt"))`,
    inputs: { 'a.txt': SAME, 'deep/a.txt': 'one', 'deep/er/b': '' },
    prepare: ({ inputs }) => symlinkSync(join(inputs, 'deep/er'), join(inputs, 'l')),
    change: ({ inputs }) => writeFileSync(join(inputs, 'deep/a.txt'), 'two'),
  });
  seen('a file is reached through a link in the OUT_DIR', {
    script: `${input} symlink(&inputs, out.join("l")).unwrap(); text(out.join("l/a.txt"))`,
    inputs: { 'a.txt': 'one' },
    change: ({ inputs }) => writeFileSync(join(inputs, 'a.txt'), 'two'),
  });
  seen('a file is reached through a link in the OUT_DIR that is gone at the end', {
    script: `${input} symlink(&inputs, out.join("l")).unwrap(); let read = text(out.join("l/a.txt")); fs::remove_file(out.join("l")).unwrap(); read`,
    inputs: { 'a.txt': 'one' },
    change: ({ inputs }) => writeFileSync(join(inputs, 'a.txt'), 'two'),
  });
  seen('what was asked for before it was made', {
    script: `${input} let flag = inputs.join("flag"); let was = flag.exists(); if !was { fs::write(&flag, "").unwrap(); fs::remove_file(&flag).unwrap(); } format!("{was}")`,
    change: ({ inputs }) => writeFileSync(join(inputs, 'flag'), ''),
  });
  seen('what could be made', {
    script: `${input} let flag = inputs.join("flag"); let made = fs::File::create_new(&flag).is_ok(); if made { fs::remove_file(&flag).unwrap(); } format!("{made}")`,
    change: ({ inputs }) => writeFileSync(join(inputs, 'flag'), ''),
  });
});
