import type { Received } from './harness';

/** `count` numbers in a row: the data of events that are to be accounted for. */
export const range = (count: number, from = 0): number[] => Array.from({ length: count }, (_, i) => from + i);

export const dataOf = (received: readonly Received[]): unknown[] => received.map(({ data }) => data);

/** The numbers received, in order: equal to a range exactly when nothing is missing and nothing came twice. */
export const sortedDataOf = (received: readonly Received[]): number[] =>
  (dataOf(received) as number[]).sort((a, b) => a - b);
