// Counting what goes over the wire: for `daemon status`, for reports and for the benchmark.
import { type Backend, isOutage } from './backend.ts';

export interface Traffic {
  requests: number;
  failures: number;
  downloadedBytes: number;
  uploadedBytes: number;
}

/** Counts every request of a remote into `traffic`. */
export function metered(backend: Backend, traffic: Traffic): Backend {
  const count = async <T extends { readonly kind: string }>(ask: Promise<T>): Promise<T> => {
    traffic.requests++;
    const answer = await ask;
    if (isOutage(answer)) traffic.failures++;
    return answer;
  };
  return {
    place: backend.place,
    async get(name, options) {
      const answer = await count(backend.get(name, options));
      if (answer.kind === 'found') traffic.downloadedBytes += answer.bytes.length;
      return answer;
    },
    has: (name) => count(backend.has(name)),
    async put(name, bytes, options) {
      const answer = await count(backend.put(name, bytes, options));
      if (answer.kind === 'done') traffic.uploadedBytes += bytes.length;
      return answer;
    },
    list(prefix) {
      traffic.requests++;
      return backend.list(prefix);
    },
    remove: (name) => count(backend.remove(name)),
  };
}
