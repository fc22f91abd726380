import { expect, test } from 'bun:test';
import fc from 'fast-check';
import {
  itemsOf,
  lastOf,
  parseArguments,
  parseExtern,
  parseSearchPath,
  type RustcArguments,
  valuesOf,
  withoutIncremental,
} from '../../src/rustc/flags.ts';
import { Lab } from '../support/lab.ts';

function parsed(args: readonly string[]): RustcArguments {
  const result = parseArguments(args);
  if ('unknown' in result) throw new Error(`unknown: ${result.unknown}`);
  return result;
}

/** Long names of the options that have a short one too. */
const LONG: Readonly<Record<string, string>> = {
  '-C': '--codegen',
  '-A': '--allow',
  '-W': '--warn',
  '-D': '--deny',
  '-F': '--forbid',
};
const SHORT_ONLY = ['-L', '-l', '-Z'];
const LONG_ONLY = ['--cfg', '--check-cfg', '--extern', '--crate-type', '--emit', '--edition', '--cap-lints'];

/** Every way to write one option with a value. */
function spellings(name: string, value: string): string[][] {
  if (name.startsWith('--')) return [[name, value], [`${name}=${value}`]];
  const long = LONG[name];
  const short = [[name, value], [`${name}${value}`]];
  return long === undefined ? short : [...short, [long, value], [`${long}=${value}`]];
}

const plain = (text: string): boolean => !text.startsWith('-') && text !== '';
const value = fc
  .oneof(
    fc.string({ minLength: 1 }),
    fc.constantFrom('opt-level=3', 'opt_level=3', 'incremental', 'a=b=c', 'feature="x"', ' '),
  )
  .filter(plain);
const name = fc.constantFrom(...Object.keys(LONG), ...SHORT_ONLY, ...LONG_ONLY);
const option = fc
  .tuple(name, value, fc.nat())
  .filter(([flag, text]) => flag !== '-C' || !text.startsWith('incremental'));
const input = fc.string({ minLength: 1 }).filter(plain);

test('every spelling of an option is the same option', () => {
  for (const flag of [...Object.keys(LONG), ...SHORT_ONLY, ...LONG_ONLY]) {
    const [first, ...others] = spellings(flag, 'some=value').map((args) => parsed(args));
    expect(first?.flags.map((one) => [one.name, one.value])).toEqual([[flag, 'some=value']]);
    for (const other of others) expect(other).toEqual(first ?? other);
  }
  expect(parsed(['-C', 'target_cpu=x']).codegen).toEqual(parsed(['-Ctarget-cpu=x']).codegen);
});

test('how a command line is spelled does not matter, its order does', () => {
  fc.assert(
    fc.property(fc.array(option, { maxLength: 8 }), input, (options, source) => {
      const plainly = options.flatMap(([flag, text, _how]) => [flag, text]);
      const spelled = options.flatMap(([flag, text, how]) => {
        const ways = spellings(flag, text);
        return ways[how % ways.length] ?? [];
      });
      const result = parsed([...spelled, source]);
      expect(result).toEqual(parsed([...plainly, source]));
      expect(result.inputs).toEqual([source]);
      expect(result.flags.map((flag) => [flag.name, flag.value])).toEqual(
        options.map(([flag, text]) => [flag, text]),
      );
    }),
    { numRuns: 500 },
  );
});

test('the last value wins where one wins, and all are there in order', () => {
  const result = parsed([
    '-Copt-level=1',
    '--cfg',
    'a',
    '-C',
    'opt_level=3',
    '--cfg=b',
    '--emit=link,metadata',
    '-g',
  ]);
  expect(result.codegen.get('opt-level')).toBe('3');
  expect(valuesOf(result, '--cfg')).toEqual(['a', 'b']);
  expect([lastOf(result, '--cfg'), lastOf(result, '--edition')]).toEqual(['b', undefined]);
  expect(itemsOf(result, '--emit')).toEqual(['link', 'metadata']);
  expect(valuesOf(result, '-g')).toEqual([]);
  expect(result.values.has('-g')).toBe(true);
  expect(parsed(['-C', 'lto']).codegen.get('lto')).toBe('');
});

test('what rustc does not document is named, and a missing value too', () => {
  const cases = [
    '--frobnicate',
    '--frobnicate=1',
    '-c',
    '-cx',
    '-gO',
    '--',
    '--emits=link',
    '-X',
    '--cfgs=a',
    '-y7',
  ];
  for (const arg of cases) expect([arg, parseArguments([arg, 'x.rs'])]).toEqual([arg, { unknown: arg }]);
  for (const arg of ['--out-dir', '-C', '--extern', '-L'])
    expect(parseArguments([arg])).toEqual({ unknown: arg });
  for (const arg of ['__proto__', 'constructor', 'toString'])
    for (const spelled of [`--${arg}`, `-${arg}`]) expect('unknown' in parseArguments([spelled])).toBe(true);
});

test('what is taken for an option with a value here is one to rustc', () => {
  using lab = new Lab();
  lab.write('.', { 'lib.rs': '' });
  // One bad value each: rustc complains of the value, never of the option.
  for (const flag of [
    '--crate-type',
    '--edition',
    '--emit',
    '--cap-lints',
    '--error-format',
    '--color',
    '-C',
    '-L',
    '-l',
  ])
    for (const args of spellings(flag, 'no-such:value=?')) {
      const { stderr } = lab.run(['rustc', ...args, 'lib.rs', '--print', 'crate-name']);
      expect([args, /Unrecognized option|Unknown option/i.test(stderr)]).toEqual([args, false]);
    }
});

test('only -C incremental goes, wherever it stands and however it is spelled', () => {
  const incremental = fc
    .tuple(fc.constantFrom('incremental=/x y', 'incremental=', 'incremental'), fc.nat(3))
    .map(([text, how]) => spellings('-C', text)[how] ?? []);
  const kept = option.map(([flag, text, how]) => {
    const ways = spellings(flag, text);
    return ways[how % ways.length] ?? [];
  });
  const item = fc.oneof(
    kept.map((args) => ({ args, keep: true })),
    incremental.map((args) => ({ args, keep: false })),
    fc
      .constantFrom('-g', '-O', '--test', 'src/lib.rs', 'incremental')
      .map((arg) => ({ args: [arg], keep: true })),
  );
  fc.assert(
    fc.property(fc.array(item), (items) => {
      const all = items.flatMap(({ args }) => args);
      expect(withoutIncremental(all)).toEqual(items.filter(({ keep }) => keep).flatMap(({ args }) => args));
    }),
    { numRuns: 500 },
  );
});

test('externs', () => {
  const cases: readonly (readonly [string, string, string, string | undefined])[] = [
    ['a=/x/liba.rlib', '', 'a', '/x/liba.rlib'],
    ['priv,noprelude:a=/x=y', 'priv,noprelude', 'a', '/x=y'],
    ['a=/with:colon', '', 'a', '/with:colon'],
    ['noprelude:std=/x', 'noprelude', 'std', '/x'],
    ['proc_macro', '', 'proc_macro', undefined],
    ['priv:proc_macro', 'priv', 'proc_macro', undefined],
    ['a=', '', 'a', ''],
  ];
  for (const [text, options, crate, path] of cases)
    expect([text, parseExtern(text)]).toEqual([text, { options, name: crate, path }]);
});

test('search paths', () => {
  const cases: readonly (readonly [string, string, string])[] = [
    ['native=/a=b', 'native', '/a=b'],
    ['dependency=/x', 'dependency', '/x'],
    ['crate=/x', 'crate', '/x'],
    ['framework=/x', 'framework', '/x'],
    ['all=/x', 'all', '/x'],
    ['/plain', 'all', '/plain'],
    ['relative=/x', 'all', 'relative=/x'],
    ['natives=/x', 'all', 'natives=/x'],
    ['native', 'all', 'native'],
  ];
  for (const [text, kind, dir] of cases) expect([text, parseSearchPath(text)]).toEqual([text, { kind, dir }]);
});
