// What has the assembler read a file, and what only looks like it.
import { expect, test } from 'bun:test';
import { hasFilesAssembled } from '../../src/rustc/assembler.ts';
import { utf8 } from '../../src/sys/files.ts';

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
    `${'.include('.repeat(100)}.incbin x`,
  ])
    expect([text, hasFilesAssembled(utf8(text))]).toEqual([text, true]);
});

test('no directives', () => {
  for (const text of [
    '',
    'set.include("x")',
    'options.include = "x"',
    '.includes "x"',
    'include!("x.inc")',
    'count.incbinary()',
    'x.increment()',
    '.inc',
  ])
    expect([text, hasFilesAssembled(utf8(text))]).toEqual([text, false]);
});
