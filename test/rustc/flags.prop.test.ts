import { expect, test } from 'bun:test';
import fc from 'fast-check';
import { parseArguments, parseExtern, parseSearchPath, withoutIncremental } from '../../src/rustc/flags.ts';

const parsed = (args: readonly string[]) => {
  const result = parseArguments(args);
  if ('unknown' in result) throw new Error(`unknown: ${result.unknown}`);
  return result;
};

test('every spelling of an option is the same option', () => {
  const same = [
    [['-C', 'opt-level=3'], ['-Copt-level=3'], ['--codegen', 'opt-level=3'], ['--codegen=opt-level=3']],
    [['--cfg', 'a="b"'], ['--cfg=a="b"']],
    [['-A', 'dead_code'], ['-Adead_code'], ['--allow', 'dead_code'], ['--allow=dead_code']],
    [['-L', 'native=/x'], ['-Lnative=/x']],
  ];
  for (const [first, ...others] of same) {
    for (const other of others) expect(parsed(other).flags).toEqual(parsed(first ?? []).flags);
  }
  expect(parsed(['-C', 'target_cpu=x']).codegen.get('target-cpu')).toBe('x');
});

test('what rustc does not document is named, and a missing value too', () => {
  expect(parseArguments(['--frobnicate'])).toEqual({ unknown: '--frobnicate' });
  expect(parseArguments(['-c', 'x'])).toEqual({ unknown: '-c' });
  expect(parseArguments(['--out-dir'])).toEqual({ unknown: '--out-dir' });
});

const option = fc.constantFrom('-C', '-L', '--cfg', '--extern', '-W', '-Z');
const value = fc.string({ minLength: 1 }).filter((text) => !text.startsWith('-'));

test('order and values are kept for any list of options', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(option, value)),
      fc.string({ minLength: 1 }).filter((text) => !text.startsWith('-')),
      (options, input) => {
        const result = parsed([...options.flat(), input]);
        expect(result.inputs).toEqual([input]);
        expect(result.flags.map(({ name, value: found }) => [name, found])).toEqual(options);
      },
    ),
  );
});

test('only -C incremental goes, in every spelling', () => {
  const kept = ['--crate-name', 'incremental', '-C', 'opt-level=1'];
  const spellings = [
    ['-C', 'incremental=/x'],
    ['-Cincremental=/x'],
    ['--codegen', 'incremental=/x'],
    ['--codegen=incremental=/x'],
  ];
  for (const spelling of spellings)
    expect(withoutIncremental([...spelling, ...kept, ...spelling])).toEqual(kept);
});

test('externs and search paths', () => {
  expect(parseExtern('a=/x/liba.rlib')).toEqual({ options: '', name: 'a', path: '/x/liba.rlib' });
  expect(parseExtern('priv,noprelude:a=/x=y')).toEqual({
    options: 'priv,noprelude',
    name: 'a',
    path: '/x=y',
  });
  expect(parseExtern('proc_macro')).toEqual({ options: '', name: 'proc_macro', path: undefined });
  expect(parseSearchPath('native=/a=b')).toEqual({ kind: 'native', dir: '/a=b' });
  expect(parseSearchPath('/plain')).toEqual({ kind: 'all', dir: '/plain' });
});
