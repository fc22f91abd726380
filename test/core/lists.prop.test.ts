import { expect, test } from 'bun:test';
import fc from 'fast-check';
import { filterList, findInList, mapList, someInList, sortShort } from '../../src/core/lists.ts';

const numbers = fc.array(fc.nat(20));
const even = (n: number): boolean => n % 2 === 0;

test('they do what the methods of arrays do', () => {
  fc.assert(
    fc.property(numbers, (list) => {
      expect(mapList(list, (n) => `${n}`)).toEqual(list.map((n) => `${n}`));
      expect(filterList(list, even)).toEqual(list.filter(even));
      expect(findInList(list, even)).toBe(list.find(even) as number);
      expect(someInList(list, even)).toBe(list.some(even));
    }),
  );
});

test('sorting is in place and stable', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(5), fc.nat())), (list) => {
      const expected = list.toSorted((a, b) => a[0] - b[0]);
      expect(sortShort(list, (a, b) => a[0] < b[0])).toBe(list);
      expect(list).toEqual(expected);
    }),
  );
});
