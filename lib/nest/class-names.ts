import type { Type } from '@nestjs/common';

/** A reason why a class name may differ in the next build or at the next start. */
export interface NameDoubt {
  /** `false`: likely, and no more. */
  readonly certain: boolean;
  /** Completes "the class `X`": what is the matter with its name. */
  readonly reason: string;
}

const certain = (reason: string): NameDoubt => ({ certain: true, reason });
const likely = (reason: string): NameDoubt => ({ certain: false, reason });

/** What compilers call a class that has no name in the source. */
const ANONYMOUS = /^(?:default|default_\d+|class_\d+|_class\d*|AnonymousClass)$/;
/** A UUID, or a number in hexadecimal such as `mixin` of Nest gives. */
const RANDOM = /[0-9a-f]{8}[-_]?[0-9a-f]{4}[-_]?[0-9a-f]{4}|(?=[a-f]*\d)(?=\d*[a-f])[0-9a-f]{12,}/i;
/** Timestamps and random numbers. */
const LONG_NUMBER = /\d{6,}/;
/** As Rollup tells classes of one name apart. */
const ROLLUP = /\$\d+$/;
/** Minifiers number thousands of names with three characters. */
const SHORT = 3;
const WORD = /^[A-Z][a-z]{2}$/;

/** @returns why handlers cannot be known by the name of this class; `undefined`: they can */
export function doubtOf(type: Type): NameDoubt | undefined {
  const descriptor = Object.getOwnPropertyDescriptor(type, 'name');
  const name: unknown = type.name;
  if (typeof name !== 'string' || (descriptor?.value !== undefined && typeof descriptor.value !== 'string'))
    return certain('has a static member `name` that is no text, in the place of its own name');
  if (descriptor === undefined || name === '' || ANONYMOUS.test(name))
    return certain('has no name of its own');
  if (RANDOM.test(name)) return certain('has a random name, another at each start');
  if (ROLLUP.test(name)) return certain('has a name that a bundler numbered');
  if (descriptor.get !== undefined || descriptor.writable === true)
    return likely('has a static member `name` in the place of its own name');
  if (LONG_NUMBER.test(name)) return likely('has a name that looks like a random number or a time');
  return name.length > SHORT ? undefined : doubtOfShort(name, type);
}

function doubtOfShort(name: string, type: Type): NameDoubt | undefined {
  const minified = isMinified(type);
  if (minified && !WORD.test(name)) return certain('has a name that a minifier made');
  return minified || (name.length < SHORT && /^[a-z_$]/.test(name))
    ? likely('has a name that a minifier may have made')
    : undefined;
}

const sourceOf = (type: Type): string => Function.prototype.toString.call(type);

/** A body that begins without white space. Code that a person reads has some, on one of its sides at least. */
const isMinified = (type: Type): boolean => /^[^{]*[^\s{]\{(?!\s)/.test(sourceOf(type));

/** The source does not name the class: `X2 = class {`. As esbuild writes classes, under names that it numbers. */
const isUnnamed = (type: Type): boolean => /^class\s*(?:\{|extends\b)/.test(sourceOf(type));

const NUMBERED = /^(.*[^\d])(\d+)$/;

/**
 * Classes of one name that a bundler numbers (`Handlers`, `Handlers2`): in an order that depends on all that it bundles, so that
 * the next build may swap their names.
 * @param types by their names
 */
export function numberedDoubts(types: ReadonlyMap<string, Type>): Map<string, NameDoubt> {
  const groups = new Map<string, Map<number, string>>();
  for (const name of types.keys()) {
    const [, stem, digits] = NUMBERED.exec(name) ?? [];
    if (stem === undefined) continue;
    const group = groups.get(stem) ?? new Map<number, string>(types.has(stem) ? [[0, stem]] : []);
    groups.set(stem, group.set(Number(digits), name));
  }
  const doubts = new Map<string, NameDoubt>();
  for (const [stem, group] of groups) {
    const doubt = doubtOfGroup(stem, group, types);
    if (doubt !== undefined) for (const name of group.values()) doubts.set(name, doubt);
  }
  return doubts;
}

function doubtOfGroup(
  stem: string,
  group: ReadonlyMap<number, string>,
  types: ReadonlyMap<string, Type>,
): NameDoubt | undefined {
  // People number from one.
  if (group.has(1)) return undefined;
  const names = [...group.values()];
  const unnamed = names.some((name) => isUnnamed(types.get(name) as Type));
  if (names.length === 1) return unnamed ? likely('has a name that a bundler may have numbered') : undefined;
  const numbers = [...group.keys()].sort((a, b) => a - b);
  const gaps = !group.has(0) && !/v$/i.test(stem) && numbers.some((n, i) => n !== (numbers[0] as number) + i);
  const reason = `has the same name as another but for a number (${names.sort().join(', ')}), as bundlers give them anew in each build`;
  return unnamed || gaps ? certain(reason) : group.has(0) ? likely(reason) : undefined;
}
