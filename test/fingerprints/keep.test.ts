// What a build leaves of the plan before it: the order of units, and which of them are not what Cargo would ask for any more.
import { expect, test } from 'bun:test';
import { merged } from '../../src/fingerprints/keep.ts';
import type { Plan, PlannedUnit } from '../../src/fingerprints/plan.ts';

const digits = (name: string): string => Bun.hash(name).toString(16).padStart(16, '0').slice(0, 16);
const folderOf = (name: string): string => `debug/.fingerprint/${name}-${digits(name)}`;

interface Made {
  readonly externs?: readonly string[];
  /** The run whose OUT_DIR it is given. */
  readonly run?: string;
  /** Of a run. */
  readonly script?: string;
  readonly printed?: string;
  readonly env?: Record<string, string>;
  /** Tells one build's unit from another's. */
  readonly by?: string;
}

const unit = (
  name: string,
  { externs = [], run, script, printed, env = {}, by = '' }: Made = {},
): PlannedUnit => ({
  crate: [name, '1.0.0'],
  argv:
    script === undefined
      ? [
          'rustc',
          ...externs.flatMap((one) => ['--extern', `${one}=/t/debug/deps/lib${one}-${digits(one)}.rmeta`]),
        ]
      : [`/t/debug/build/${script}-${digits(script)}/build-script-build.script`, 'stand-in'],
  cwd: '/',
  env: { ...env, ...(run === undefined ? {} : { OUT_DIR: `/t/debug/build/${run}-${digits(run)}/out` }) },
  folder: folderOf(name),
  record: [['by', by]],
  ...(printed === undefined ? {} : { printed }),
});

const plan = (...units: readonly PlannedUnit[]): Plan => ({
  locks: ['debug/.cargo-lock'],
  folders: ['debug/deps'],
  units,
});
const namesOf = ({ units }: Plan): string[] => units.map(({ crate: [name] }) => name);
const runsOf = ({ units }: Plan): string[] =>
  units.flatMap(({ argv, folder }) => (argv[0]?.endsWith('.script') ? [folder] : []));
/** What a build that saw these calls keeps. */
const after = (before: Plan | undefined, now: Plan, ran = runsOf(now)): Plan => merged(before, now, ran);

test('units come behind those they are built on, in whatever order they were asked for', () => {
  const units = [
    unit('top', { externs: ['scripted', 'mac'] }),
    unit('scripted', { run: 'scripted-run' }),
    unit('scripted-run', { script: 'scripted-build', printed: 'x' }),
    unit('mac'),
    unit('scripted-build'),
  ];
  expect(namesOf(after(undefined, plan(...units)))).toEqual([
    'scripted-build',
    'scripted-run',
    'scripted',
    'mac',
    'top',
  ]);
  // Also when a build asks for what others of an earlier one are built on.
  const before = after(undefined, plan(unit('top', { externs: ['late'] })));
  expect(namesOf(after(before, plan(unit('late'))))).toEqual(['late', 'top']);
});

test('names that lead in a circle, or nowhere, end somewhere', () => {
  const circle = plan(unit('one', { externs: ['two'] }), unit('two', { externs: ['one', 'gone'] }));
  expect(namesOf(after(undefined, circle)).sort()).toEqual(['one', 'two']);
});

test('what was asked for now takes the place of what was known, the rest stays', () => {
  const before = plan(unit('one', { by: 'first' }), unit('two', { by: 'first' }));
  const now = after(before, plan(unit('two', { by: 'second' }), unit('three', { by: 'second' })));
  expect(now.units.map(({ crate: [name], record }) => [name, record[0]?.[1]])).toEqual([
    ['one', 'first'],
    ['two', 'second'],
    ['three', 'second'],
  ]);
});

test('the same build again leaves the same plan', () => {
  const whole = after(undefined, plan(...scripts('said')));
  expect(after(whole, plan(...scripts('said')))).toEqual(whole);
});

test('locks and folders of an earlier build stay', () => {
  const host = plan(unit('one'));
  const target = {
    locks: ['triple/debug/.cargo-lock'],
    folders: ['triple/debug/deps'],
    units: [unit('two')],
  };
  expect(after(host, target)).toMatchObject({
    locks: ['debug/.cargo-lock', 'triple/debug/.cargo-lock'],
    folders: ['debug/deps', 'triple/debug/deps'],
  });
});

/** Two packages with scripts, one of which is told what the other one says, and what is built on them. */
const scripts = (printed: string): PlannedUnit[] => [
  unit('apart'),
  unit('native-build'),
  unit('native-run', { script: 'native-build', printed }),
  unit('native', { run: 'native-run', by: printed }),
  unit('linked-build'),
  unit('linked-run', { script: 'linked-build', printed: 'nothing', env: { DEP_NATIVE_SAID: printed } }),
  unit('linked', { run: 'linked-run', externs: ['native'], by: printed }),
  unit('top', { externs: ['linked'], by: printed }),
];
const named = (printed: string, ...names: string[]): PlannedUnit[] =>
  scripts(printed).filter(({ crate: [name] }) => names.includes(name));

test('where a script says something else, what is built on it is kept as it was asked for now, or not at all', () => {
  const before = after(undefined, plan(...scripts('one')));
  const whole = after(before, plan(...named('two', 'native-run', 'native', 'linked-run', 'linked', 'top')));
  expect(whole.units).toEqual(after(undefined, plan(...scripts('two'))).units);
  // One that ended early.
  const half = after(before, plan(...named('two', 'native-run', 'native')));
  expect(namesOf(half).sort()).toEqual(['apart', 'linked-build', 'native', 'native-build', 'native-run']);
  // The rest comes with the next one.
  const rest = after(half, plan(...named('two', 'linked-run', 'linked', 'top')));
  expect(namesOf(rest).sort()).toEqual(namesOf(whole).sort());
});

test('a run of which it is not certain what it printed is forgotten, with all that is built on it', () => {
  const before = after(undefined, plan(...scripts('one')));
  const lost = after(before, plan(...named('two', 'linked-run')), [
    folderOf('native-run'),
    folderOf('linked-run'),
  ]);
  expect(namesOf(lost)).toEqual(['apart', 'native-build', 'linked-build', 'linked-run']);
});
