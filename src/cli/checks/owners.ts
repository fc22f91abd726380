// Whose the files of the store are: what belongs to somebody else, to root after a build under sudo as a rule, can be
// neither read nor replaced, and is compiled again.
import { everythingBelow } from '../../store/inventory.ts';
import type { Store } from '../../store/store.ts';

/** What in the store belongs to others than the user `uid`, and what to do; undefined when nothing does. */
export function ofOtherOwners(store: Store, uid: number): { detail: string; remedy: string } | undefined {
  const others = new Map<number, number>();
  for (const { info } of everythingBelow(store.layout.root)) {
    if (info.uid !== uid) others.set(info.uid, (others.get(info.uid) ?? 0) + 1);
  }
  if (others.size === 0) return undefined;
  const counts = [...others].map(([owner, count]) => `${count} files and folders belong to user ${owner}`);
  return {
    detail: `${counts.join(', ')}: what is not readable is compiled again, and files of others are copied, not shared`,
    remedy: `Run \`sudo chown -R ${uid} ${store.layout.root}\`, and give every user a store of their own (KACHE_CACHE_DIR).`,
  };
}
