// What launchers send and are sent, as bytes and as values. The grammar is in docs/daemon-protocol.md.
import { readlinkSync, statSync } from 'node:fs';
import { type ExitStatus, signalCalled } from '../sys/process.ts';
import type { InPlace, LaunchedCall, PlacedFile, PlacedWay, States, Step } from './protocol.ts';

/** The first word of every request. Another form of request or answer is another word. */
export const LAUNCHER_PROTOCOL = 'kache-launcher-3';

const WAYS: Readonly<Record<string, PlacedWay>> = { r: 'reflinked', h: 'hardlinked', c: 'copied' };
const letterOf = (way: PlacedWay): string => way[0] ?? '';

/**
 * What makes paths, users and numbers of processes mean the same to two processes: their namespaces and their root, as each
 * sees its own.
 */
export function placeSeenFromHere(): string {
  const { dev, ino } = statSync('/', { bigint: true });
  const namespaces = ['mnt', 'pid', 'user', 'uts'].map((name) => readlinkSync(`/proc/self/ns/${name}`));
  return `${namespaces.join(' ')} ${dev} ${ino}`;
}

/** Names that lead every process to something of its own: `/dev/stdin`, `/proc/self/fd/3`. */
const OWN_OF_A_PROCESS = /(^|=)\/(dev|proc)\//;

/** A call from its frame; undefined when it is none of ours to answer. */
export function parseCall(frame: Uint8Array, place: string): LaunchedCall | undefined {
  const text = decode(frame);
  const [protocol, pid, parentPid, from, cwd, count, ...rest] = text?.split('\0') ?? [];
  const argc = Number(count);
  if (protocol !== LAUNCHER_PROTOCOL || from !== place || cwd === undefined || !(argc <= rest.length))
    return undefined;
  const env: Record<string, string> = Object.create(null);
  for (const line of rest.slice(argc)) {
    const at = line.indexOf('=');
    const name = line.slice(0, at);
    // What two values of one name mean is not for us to guess.
    if (at <= 0 || name in env) return undefined;
    env[name] = line.slice(at + 1);
  }
  const argv = rest.slice(0, argc);
  if (argv.some((arg) => OWN_OF_A_PROCESS.test(arg))) return undefined;
  return { argv, env, cwd, caller: { pid: Number(pid), parentPid: Number(parentPid) } };
}

/** Undefined for what is not UTF-8: the wrapper passes such a call through byte for byte. */
function decode(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (error) {
    if (error instanceof TypeError) return undefined;
    throw error;
  }
}

export const fieldsOf = (file: PlacedFile): string[] =>
  file.kind === 'text'
    ? ['text', file.text, file.aside, file.target]
    : [
        'blob',
        file.source,
        `${file.sizeBytes}`,
        file.ways.map(letterOf).join(''),
        file.mode.toString(8),
        file.aside,
        file.target,
      ];

export function fieldsOfStep(step: Step): string[] {
  switch (step.kind) {
    case 'text':
    case 'blob':
      return fieldsOf(step);
    case 'new':
      return ['new', Buffer.from(step.bytes).toString('hex'), step.path];
    case 'link':
      return ['link', step.from, step.path];
    default:
      return [step.kind, step.path];
  }
}

/** Files as they are told: `placed`, a letter for each, and the state of each. */
export function parsePlaced(frame: Uint8Array): InPlace | undefined {
  const [verb, letters = '', ...states] = Buffer.from(frame).toString().split('\0');
  return verb === 'placed' ? { ways: [...letters].map((letter) => WAYS[letter]), states } : undefined;
}

/** What the compiler wrote: `line`, its descriptor, the state of each of `outputs` files, and the bytes. */
export function parseLine(
  frame: Uint8Array,
  outputs: number,
): { fd: 1 | 2; states: States; bytes: Uint8Array } | undefined {
  const head: string[] = [];
  let from = 0;
  while (head.length < 2 + outputs) {
    const end = frame.indexOf(0, from);
    if (end < 0) return undefined;
    head.push(Buffer.from(frame.subarray(from, end)).toString());
    from = end + 1;
  }
  const [verb, fd, ...states] = head;
  if (verb !== 'line' || (fd !== '1' && fd !== '2')) return undefined;
  return { fd: fd === '1' ? 1 : 2, states: statesOf(states), bytes: frame.subarray(from) };
}

/** What is not there has an empty state. */
const statesOf = (fields: readonly string[]): States =>
  fields.map((state) => (state === '' ? undefined : state));

/** How the compiler ended: `ended`, `exited` or `signalled`, a number, and the state of each output. */
export function parseEnded(frame: Uint8Array): { status: ExitStatus; states: States } | undefined {
  const [verb, how, digits = '', ...states] = Buffer.from(frame).toString().split('\0');
  const number = Number(digits);
  if (verb !== 'ended' || !/^\d+$/.test(digits)) return undefined;
  return {
    status:
      how === 'exited'
        ? { kind: 'exited', code: number }
        : { kind: 'signalled', signal: signalCalled(number) },
    states: statesOf(states),
  };
}
