// Reading what helpers/call-recorder.rs wrote.
import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { Environment } from './process.ts';

/** One recorded call, as the recorder received it. */
export type Call = { args: string[]; directory: string; environment: Environment };

/** All calls recorded in a folder, in the order they were made. */
export function readCalls(folder: string): Call[] {
  return readdirSync(folder)
    .sort()
    .map((name) => parseCall(readFileSync(join(folder, name), 'utf8')));
}

function parseCall(record: string): Call {
  const [count = '0', ...fields] = record.split('\0').slice(0, -1);
  const size = Number(count);
  const environment: Environment = {};
  for (const pair of fields.slice(size + 1)) {
    const split = pair.indexOf('=');
    environment[pair.slice(0, split)] = pair.slice(split + 1);
  }
  return { args: fields.slice(0, size), directory: fields[size] ?? '', environment };
}

/** A call that compiles something, not one that asks the compiler a question. */
export function isCompile({ args }: Call): boolean {
  return args.includes('--crate-name') && args.includes('--out-dir');
}

/** A compile of a library that is linked into others: what every cache keeps. */
export function isLibrary(call: Call): boolean {
  const type = valueAfter(call, '--crate-type');
  return isCompile(call) && (type === 'lib' || type === 'rlib');
}

export function crateName(call: Call): string {
  return valueAfter(call, '--crate-name') ?? '';
}

/** The library, metadata and dep-info files this call writes, whether they exist or not. */
export function libraryOutputs(call: Call): { library: string; all: string[] } {
  const directory = resolve(call.directory, valueAfter(call, '--out-dir') ?? '');
  const suffix =
    call.args.find((arg) => arg.startsWith('extra-filename='))?.slice('extra-filename='.length) ?? '';
  const stem = `${crateName(call)}${suffix}`;
  const library = join(directory, `lib${stem}.rlib`);
  return { library, all: [library, join(directory, `lib${stem}.rmeta`), join(directory, `${stem}.d`)] };
}

function valueAfter({ args }: Call, option: string): string | undefined {
  const at = args.indexOf(option);
  return at < 0 ? undefined : args[at + 1];
}
