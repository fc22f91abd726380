// Tests of what is there on Linux only.
import { afterAll, beforeAll, test } from 'bun:test';
import { notRun } from './required.ts';

const isLinux = process.platform === 'linux';

/** `test` on Linux; elsewhere what these tests are of is said to be not run, and why. */
export function linuxOnly(what: string, why: string) {
  if (!isLinux) notRun(what, why);
  return test.if(isLinux);
}

/** Before the tests of a file `use` is given a place for them; after them it is gone. */
export function openOnLinux<Place extends Disposable>(
  kind: new () => Place,
  use: (place: Place) => void,
): void {
  let place: Place | undefined;
  beforeAll(() => {
    if (!isLinux) return;
    place = new kind();
    use(place);
  }, 120_000);
  afterAll(() => place?.[Symbol.dispose]());
}
