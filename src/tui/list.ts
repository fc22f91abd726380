// Where one is in a list that changes meanwhile: the selected row keeps its line on the screen, and the first row stays
// the first, so that what is new is seen. Pure.

export interface Row {
  /** Compared by identity. */
  readonly id: unknown;
}

export interface Place {
  /** Undefined: the first row, whichever that is. */
  readonly selected: unknown;
  /** Where the selected row was last, for when it is gone. */
  readonly index: number;
  /** Its line in the window. */
  readonly line: number;
}

export const START: Place = { selected: undefined, index: 0, line: 0 };

/** The part of a list that is on the screen. */
export interface Window {
  readonly index: number;
  readonly top: number;
}

/** Where the selected row and the window are, in a window of `height` lines. */
export function locate(place: Place, rows: readonly Row[], height: number): Window {
  const found = place.selected === undefined ? 0 : rows.findIndex(({ id }) => id === place.selected);
  const index = Math.max(0, Math.min(found < 0 ? place.index : found, rows.length - 1));
  const line = Math.max(0, Math.min(place.line, height - 1));
  const top = Math.max(0, Math.min(index - line, rows.length - height));
  return { index, top };
}

/** Moves the selection by `by` rows, and the window as little as needed. */
export function move(
  place: Place,
  rows: readonly Row[],
  { by, height }: { by: number; height: number },
): Place {
  const { index, top } = locate(place, rows, height);
  const next = Math.max(0, Math.min(index + by, rows.length - 1));
  const line = Math.max(0, Math.min(next - top, height - 1));
  return { selected: next === 0 ? undefined : rows[next]?.id, index: next, line };
}
