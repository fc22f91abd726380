import { expect, test } from 'bun:test';
import { type EnvUsage, envUsage } from '../../src/rustc/env-usage.ts';

const cases: readonly (readonly [EnvUsage, string])[] = [
  ['included', 'include!(concat!(env!("OUT_DIR"), "/x.rs"));'],
  ['included', 'include!(env!("OUT_DIR"));'],
  ['included', 'include!(concat!(env!("OUT_DIR", "run the build script"), "/x.rs"));'],
  ['included', 'const B: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/x"));'],
  [
    'included',
    'include!{\n    concat!(\n        env!(\n            "OUT_DIR"\n        ),\n        "/x.rs"\n    )\n}',
  ],
  ['included', 'include ! [ concat ! [ env ! [ "OUT_DIR" ] , "/x" ] ]'],
  [
    'included',
    'const A: &str = include_str!(concat!( env!( "OUT_DIR" ), "/x"));\ninclude_bytes!{concat!{option_env!("OUT_DIR")}}',
  ],
  [
    'included',
    'mod a { include!(concat!(env!("OUT_DIR"), "/a.rs")); } mod b { include!(concat!(env!("OUT_DIR"), "/b.rs")); }',
  ],
  ['elsewhere', 'const A: &str = env!("OUT_DIR");'],
  ['elsewhere', 'const A: Option<&str> = option_env!("OUT_DIR");'],
  ['elsewhere', 'const A: &str = concat!(env!("OUT_DIR"), "/x");'],
  ['elsewhere', 'include!(concat!(env!("OUT_DIR"), "/x.rs")); const N: usize = env!("OUT_DIR").len();'],
  ['elsewhere', 'include!(concat!("/prefix", env!("OUT_DIR"), "/x.rs"));'],
  ['elsewhere', 'my_include!(concat!(env!("OUT_DIR"), "/x.rs"));'],
  ['elsewhere', 'tree::include_dir!("OUT_DIR");'],
  ['elsewhere', 'println!("{}", std::env::var("OUT_DIR").unwrap());'],
  ['elsewhere', '// "OUT_DIR" only in a comment counts: nobody is harmed by a miss'],
  ['elsewhere', 'const A: &str = env!(r"OUT_DIR");'],
  ['elsewhere', 'const A: &str = env!(r#"OUT_DIR"#);'],
  ['unmentioned', 'tonic::include_proto!("x");'],
  ['unmentioned', 'const A: &str = env!("OUT_DIRECTORY"); const B: &str = env!("MY_OUT_DIR");'],
  ['unmentioned', ''],
];

for (const [usage, source] of cases)
  test(`${usage}: ${source}`, () => expect(envUsage('OUT_DIR', [source])).toBe(usage));

test('several sources are one crate: one other use is enough, in whatever order', () => {
  const included = 'include!(concat!(env!("OUT_DIR"), "/x.rs"));';
  const value = 'const A: &str = env!("OUT_DIR");';
  expect(envUsage('OUT_DIR', [included, '', included])).toBe('included');
  expect(envUsage('OUT_DIR', [included, value])).toBe('elsewhere');
  expect(envUsage('OUT_DIR', [value, included])).toBe('elsewhere');
  expect(envUsage('OUT_DIR', [])).toBe('unmentioned');
});

test('a name is itself, not a pattern', () => {
  expect(envUsage('A.B', ['include!(env!("AxB"));'])).toBe('unmentioned');
});
