// The page of keys. Pure.

import { HELP } from '../keys.ts';
import { bold, dim, facts, type Line, line } from '../layout.ts';

export const helpView = (): Line[] => [
  line(' Keys', bold),
  ...facts(HELP.map(([keys, what, where]) => [keys, where === undefined ? what : `${what} (${where})`])),
  [],
  line(' Outcomes', bold),
  ...facts([
    ['✓ hit', 'came from the store: no compiler ran'],
    ['● miss, dup', 'compiled and stored; dup: the outputs were there already'],
    ['! unstored', 'compiled, but kache could not vouch for it'],
    ['– passed', 'not looked up: linked outputs, what settings leave out'],
    ['✗ failed', 'the compiler failed'],
  ]),
  line(' Rates are over hits and misses; "by time" weighs each with its compile time.', dim),
];
