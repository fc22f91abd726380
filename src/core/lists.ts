// Plain loops for the hot path. The runtime compiles its own array methods from source on first use, 50 to 180 µs for
// each in a fresh process, which is a process's whole life here; these come precompiled with the program. A function called
// more than some thirty times makes the runtime start its compiler threads (half a millisecond): loops over longer lists
// are written out where they stand.

export function mapList<A, B>(list: readonly A[], change: (item: A) => B): B[] {
  const result: B[] = [];
  for (const item of list) result.push(change(item));
  return result;
}

export function filterList<A>(list: readonly A[], keep: (item: A) => boolean): A[] {
  const result: A[] = [];
  for (const item of list) if (keep(item)) result.push(item);
  return result;
}

export function findInList<A>(list: readonly A[], match: (item: A) => boolean): A | undefined {
  for (const item of list) if (match(item)) return item;
  return undefined;
}

export const someInList = <A>(list: readonly A[], match: (item: A) => boolean): boolean => {
  for (const item of list) if (match(item)) return true;
  return false;
};

/** Ascending by UTF-16 code units, in place; insertion sort, for the short lists a call has. */
export function sortShort<A>(list: A[], before: (a: A, b: A) => boolean): A[] {
  for (let at = 1; at < list.length; at++) {
    const item = list[at] as A;
    let to = at;
    while (to > 0 && before(item, list[to - 1] as A)) {
      list[to] = list[to - 1] as A;
      to--;
    }
    list[to] = item;
  }
  return list;
}
