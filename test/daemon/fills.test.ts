// The conversation in which a launcher is told how to fill a target folder, with units of the test's own.
import { afterEach, beforeEach, expect, test } from 'bun:test';
import { mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LauncherServer } from '../../src/daemon/launchers.ts';
import type { Answer, Batch, FillAnswer, InPlace, Step } from '../../src/daemon/protocol.ts';
import { signatureNow } from '../../src/store/hashes.ts';
import { framed, Peer, requestIn } from '../support/launcher-peer.ts';
import { until } from '../support/wrapper-call.ts';

let dir: string;
const home = process.cwd();
beforeEach(() => {
  dir = realpathSync(mkdtempSync(join(tmpdir(), 'kache-test-fills-')));
});
afterEach(() => {
  // The server leaves no folder in use, and goes to the root for that.
  process.chdir(home);
  rmSync(dir, { recursive: true, force: true });
});

const proof = (): string => join(dir, 'proof');
const folder = (name: string): Step => ({ kind: 'folder', path: `/target/${name}` });

/** Units that are what a test says, one step each, and what became of them. */
class Folder implements Disposable {
  /** Units that have yet to be looked up. */
  waiting: (readonly Step[] | 'not-this' | (() => never))[] = [];
  readonly became: (InPlace | undefined)[] = [];
  readonly lines: string[] = [];
  /** What comes behind the first answer to a unit. */
  follows: readonly Step[] | undefined;
  lookedUp = 0;
  isNew = true;
  #server = this.#listen();

  #listen(): LauncherServer {
    return new LauncherServer({
      socket: join(dir, 'socket'),
      answer: ({ argv }): Answer => (argv[1] === '-vV' ? this.answer() : 'none'),
      isCurrent: () => true,
      onRequest: () => {},
      onAnswered: () => {},
      log: (line) => this.lines.push(line),
    });
  }

  answer(): FillAnswer {
    const steps: Step[] = [folder('.'), { kind: 'lock', path: '/target/debug/.cargo-lock' }];
    return { kind: 'fill', proof: proof(), steps, begin: () => (this.isNew ? this : undefined) };
  }

  next(): Batch | 'not-this' | undefined {
    const steps = this.waiting.shift();
    if (steps === undefined) return undefined;
    this.lookedUp++;
    if (steps === 'not-this') Bun.sleepSync(1);
    if (steps === 'not-this') return steps;
    if (typeof steps === 'function') return steps();
    return {
      steps,
      carriedOut: (files) => {
        this.became.push(files);
        const follows = this.follows;
        this.follows = undefined;
        return follows === undefined
          ? undefined
          : {
              steps: follows,
              carriedOut: (then) => {
                this.became.push(then);
                return undefined;
              },
            };
      },
    };
  }

  /** A launcher that has asked, and been told how to begin. */
  async asked(): Promise<Peer> {
    const peer = await Peer.connect(join(dir, 'socket'));
    peer.write(framed(requestIn(dir, { argv: ['rustc', '-vV'] })));
    expect(await peer.frame()).toBe(
      ['fill', proof(), 'folder', '/target/.', 'lock', '/target/debug/.cargo-lock'].join('\0'),
    );
    return peer;
  }

  /** One that has the locks, too, and can write to the store. */
  async begun(): Promise<Peer> {
    const peer = await this.asked();
    writeFileSync(proof(), '');
    peer.write(framed('ready'));
    return peer;
  }

  [Symbol.dispose](): void {
    this.#server[Symbol.dispose]();
  }
}

const DONE = framed(['placed', ''].join('\0'));

test('units one behind the other, each with what became of it, and the end', async () => {
  using target = new Folder();
  const file = join(dir, 'a.rlib');
  writeFileSync(file, 'a');
  target.waiting = [
    [
      { kind: 'text', text: 'a', aside: '/aside', target: file },
      { kind: 'link', from: '/one', path: '/two' },
      { kind: 'new', path: '/record', bytes: Buffer.from('a\0b\n') },
    ],
    [{ kind: 'remove', path: '/target/out' }],
  ];
  const peer = await target.begun();
  const [first, second] = [await peer.frame(), await peer.frame()];
  expect(first?.split('\0')).toEqual([
    ...['put', 'text', 'a', '/aside', file, 'link', '/one', '/two'],
    ...['new', '6100620a', '/record'],
  ]);
  expect(second?.split('\0')).toEqual(['put', 'remove', '/target/out']);
  const state = signatureNow(file) ?? '';
  peer.write(framed(['placed', '-', state].join('\0')));
  peer.write(DONE);
  expect(await peer.frame()).toBe('done');
  await peer.closed();
  expect(target.became).toEqual([
    { ways: [undefined], states: [state] },
    { ways: [], states: [] },
  ]);
  expect(target.lines).toEqual([]);
});

test('files that are not what the launcher says are not in their places', async () => {
  using target = new Folder();
  const file = join(dir, 'a.rlib');
  writeFileSync(file, 'a');
  const state = signatureNow(file) ?? '';
  const replies = [
    'no',
    '',
    ['placed', ''].join('\0'),
    ['placed', '-'].join('\0'),
    ['placed', '--', state, state].join('\0'),
    ['placed', '-', state.replace(/^\d+/, '1')].join('\0'),
  ];
  target.waiting = replies.map(() => [{ kind: 'text', text: 'a', aside: '/aside', target: file }]);
  const peer = await target.begun();
  for (const reply of replies) {
    expect(await peer.frame()).toStartWith('put');
    peer.write(framed(reply));
  }
  expect(await peer.frame()).toBe('done');
  expect(target.became).toEqual(replies.map(() => undefined));
});

test('what follows on a unit is told before the next ones, and looked at alike', async () => {
  using target = new Folder();
  target.waiting = [[folder('out')]];
  target.follows = [{ kind: 'remove', path: '/target/out' }];
  const peer = await target.begun();
  expect(await peer.frame()).toBe(['put', 'folder', '/target/out'].join('\0'));
  // Nothing is left to look up by now.
  await Bun.sleep(20);
  target.waiting = [[folder('later')]];
  peer.write(framed('no'));
  expect(await peer.frame()).toBe(['put', 'remove', '/target/out'].join('\0'));
  expect(await peer.frame()).toBe(['put', 'folder', '/target/later'].join('\0'));
  peer.write(DONE);
  peer.write(DONE);
  expect(await peer.frame()).toBe('done');
  expect(target.became.map((files) => files !== undefined)).toEqual([false, true, true]);
});

test('no more than a few units are looked up ahead of the launcher, and others are answered meanwhile', async () => {
  using target = new Folder();
  target.waiting = Array.from({ length: 100 }, (_, at) => [folder(`${at}`)]);
  const peer = await target.begun();
  await until('some are looked up', () => target.lookedUp >= 8);
  const other = await Peer.connect(join(dir, 'socket'));
  other.write(framed(requestIn(dir)));
  expect(await other.frame()).toBe('no');
  expect(target.lookedUp).toBe(8);
  for (let at = 0; at < 100; at++) {
    expect(await peer.frame()).toBe(['put', 'folder', `/target/${at}`].join('\0'));
    expect(target.lookedUp).toBeLessThanOrEqual(at + 9);
    peer.write(DONE);
  }
  expect(await peer.frame()).toBe('done');
});

test('others are answered between units that are no hits, too', async () => {
  using target = new Folder();
  target.waiting = [...Array.from({ length: 400 }, () => 'not-this' as const), [folder('last')]];
  const peer = await target.begun();
  await until('it has begun', () => target.lookedUp > 0);
  const other = await Peer.connect(join(dir, 'socket'));
  other.write(framed(requestIn(dir)));
  expect(await other.frame()).toBe('no');
  expect(target.lookedUp).toBeLessThan(300);
  expect(await peer.frame()).toBe(['put', 'folder', '/target/last'].join('\0'));
  peer.write(DONE);
  expect(await peer.frame()).toBe('done');
});

test('what cannot be told is not carried out, and a unit that fails ends nothing but itself', async () => {
  using target = new Folder();
  target.waiting = [
    [folder('a\0b')],
    () => {
      throw new Error('of the test');
    },
    [folder('sound')],
  ];
  const peer = await target.begun();
  expect(await peer.frame()).toBe(['put', 'folder', '/target/sound'].join('\0'));
  peer.write(DONE);
  expect(await peer.frame()).toBe('done');
  expect(target.became).toEqual([undefined, { ways: [], states: [] }]);
  expect(target.lines).toEqual([expect.stringContaining('of the test')]);
});

test('nothing is begun for who cannot write to the store, nor where somebody has built meanwhile', async () => {
  using target = new Folder();
  target.waiting = [[folder('a')]];
  const stranger = await target.asked();
  stranger.write(framed('ready'));
  expect(await stranger.frame()).toBe('no');
  target.isNew = false;
  expect(await (await target.begun()).frame()).toBe('no');
  expect(target.lookedUp).toBe(0);
});

test('a launcher that hangs up, or says more than it was asked: nothing is looked up for it any more', async () => {
  using target = new Folder();
  target.waiting = Array.from({ length: 100 }, (_, at) => [folder(`${at}`)]);
  (await target.begun()).hangUp();
  await Bun.sleep(50);
  expect(target.lookedUp).toBeLessThanOrEqual(9);
  const lookedUp = target.lookedUp;
  target.waiting = [];
  const peer = await target.begun();
  peer.write(DONE);
  await peer.closed();
  expect(target.lookedUp).toBe(lookedUp);
  expect(target.lines).toEqual([]);
});
