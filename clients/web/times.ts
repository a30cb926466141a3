/** Times for people, and which of two backends took less. */

/** Milliseconds of runs of the same cases, by their names. */
export type Times = ReadonlyMap<string, number>;

/** Milliseconds. A page's clock has steps of a tenth of one: what takes less than ten of them says little. */
const STEP = 0.1;
const LEAST = 1;

export function duration(time: number): string {
  if (Number.isNaN(time)) return "none";
  return time < 10_000 ? `${time.toFixed(time < 100 ? 1 : 0)} ms` : `${(time / 1000).toFixed(1)} s`;
}

/** A sentence about the first two backends, by the cases that both ran; empty where there are none. */
export function whichWasFaster(found: ReadonlyMap<string, Times>): string {
  const [one, other] = [...found];
  if (!one || !other) return "";
  const pairs = [...one[1]].flatMap(([name, time]) => {
    const beside = other[1].get(name) ?? NaN;
    return Number.isNaN(time + beside) ? [] : [[time, beside] as const];
  });
  if (pairs.length === 0) return "";
  const told = pairs.filter((pair) => Math.max(...pair) >= LEAST);
  if (told.length === 0) return "The cases are too short for this browser's clock to tell which backend is faster.";
  // Of one run each, of which some were held up: a sum would be theirs.
  const ratio = median(told.map(([time, beside]) => Math.max(beside, STEP) / Math.max(time, STEP)));
  const times = Math.max(ratio, 1 / ratio);
  const cases = `the median of ${told.length} case${told.length === 1 ? "" : "s"}`;
  if (times < 1.1) return `${one[0]} and ${other[0]} were equally fast, in ${cases}.`;
  const rounded = times < 9.95 ? times.toFixed(1) : Math.round(times).toLocaleString("en");
  const [faster, slower] = ratio > 1 ? [one[0], other[0]] : [other[0], one[0]];
  return `${faster} was ${rounded} times as fast as ${slower}, in ${cases}.`;
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  return (sorted[Math.ceil(middle) - 1]! + sorted[Math.floor(middle)]!) / 2;
}
