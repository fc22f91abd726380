// What has the assembler read a file, and what only looks like it.
import { expect, test } from 'bun:test';
import { DirectiveSearch } from '../../src/rustc/assembler.ts';
import { utf8 } from '../../src/sys/files.ts';

/** As a whole, and cut at every place. */
function findings(text: string): boolean[] {
  const bytes = utf8(text);
  return Array.from({ length: Math.min(bytes.length, 60) + 1 }, (_, at) => {
    const search = new DirectiveSearch();
    for (const piece of [bytes.subarray(0, at), bytes.subarray(at)]) search.see(piece);
    return search.found;
  });
}

test('directives, in assembly and in source text', () => {
  for (const text of [
    '.incbin "data.bin"',
    '  .INCBIN "data.bin"',
    'global_asm!(".incbin \\"data.bin\\"");',
    'concat!(".incbin", " \\"", $path, "\\"")',
    '.include "part.s"',
    '.include\t"part.s"',
    'global_asm!(".include \\"{}\\"", const X);',
    'global_asm!(".include {path}");',
    'global_asm!(".include\\t\\"x\\"");',
    'global_asm!(".include\\"x\\"");',
    '.include"part.s"',
    '.include"../part.s"',
    `${'.include('.repeat(100)}.incbin x`,
  ])
    expect([text, ...new Set(findings(text))]).toEqual([text, true]);
});

test('no directives', () => {
  for (const text of [
    '',
    'set.include("x")',
    'key("package.include")',
    '["package.include", "x"]',
    '"package.include".into()',
    'options.include = "x"',
    '.includes "x"',
    'include!("x.inc")',
    'count.incbinary()',
    'x.increment()',
    '.inc',
  ])
    expect([text, ...new Set(findings(text))]).toEqual([text, false]);
});
