import { expect, test } from 'bun:test';
import { envUsage } from '../../src/rustc/env-usage.ts';

const cases: readonly (readonly [string, string])[] = [
  ['included', 'include!(concat!(env!("OUT_DIR"), "/x.rs"));'],
  [
    'included',
    'const A: &str = include_str!(concat!( env!( "OUT_DIR" ), "/x"));\ninclude_bytes!{concat!{option_env!("OUT_DIR")}}',
  ],
  ['elsewhere', 'const A: &str = env!("OUT_DIR");'],
  ['elsewhere', 'include!(concat!(env!("OUT_DIR"), "/x.rs")); const N: usize = env!("OUT_DIR").len();'],
  ['elsewhere', '// "OUT_DIR" only in a comment counts: nobody is harmed by a miss'],
  ['unmentioned', 'tonic::include_proto!("x");'],
];

for (const [usage, source] of cases)
  test(`${usage}: ${source}`, () =>
    expect(envUsage('OUT_DIR', [source])).toBe(usage as ReturnType<typeof envUsage>));
