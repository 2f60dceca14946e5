import { Value } from 'typebox/value';
import type { TSchema } from 'typebox';
import { variablePrefixOf, type Settings, type SettingsOf } from './settings.js';

/** The environment variables of this process, read as settings. An empty variable counts as not set. */
export class Environment {
  readonly #variables: Readonly<Record<string, string | undefined>>;

  constructor(variables: Readonly<Record<string, string | undefined>> = process.env) {
    this.#variables = variables;
  }

  /**
   * The values, defaults filled in, frozen.
   *
   * @throws SettingsError with a sentence for each bad value
   */
  read<S extends Settings>(settings: S): Readonly<SettingsOf<S>> {
    const values: Record<string, unknown> = {};
    const problems: string[] = [];
    for (const [name, variable] of settings.variables) {
      const schema = settings.schema.properties[name]!;
      const text = this.#variables[variable];
      if (text === undefined || text === '') {
        const preset = (schema as { default?: unknown }).default;
        if (preset !== undefined) values[name] = preset;
        continue;
      }
      const value = parse(schema, text);
      if (value !== undefined && Value.Check(schema, value)) values[name] = value;
      else problems.push(`${variable} is ${shown(schema, text)}; it must be ${allowed(schema)}`);
    }
    if (problems.length > 0) throw new SettingsError(problems);
    return Object.freeze(values) as SettingsOf<S>;
  }

  /**
   * Reads all of them, and looks for variables that bear the prefix of one of them without being any of its settings.
   *
   * @throws SettingsError with all problems of all of them
   */
  check(all: Iterable<Settings>): void {
    const problems: string[] = [];
    const known = new Set(READ_BY_OTHERS);
    const prefixes = new Set<string>();
    for (const settings of new Set(all)) {
      prefixes.add(variablePrefixOf(settings.prefix));
      for (const variable of settings.variables.values()) known.add(variable);
      try {
        this.read(settings);
      } catch (error) {
        if (!(error instanceof SettingsError)) throw error;
        problems.push(...error.problems);
      }
    }
    for (const variable of Object.keys(this.#variables)) {
      const prefix = [...prefixes].find((candidate) => variable.startsWith(candidate));
      if (prefix && !known.has(variable))
        problems.push(
          unknownVariable(
            variable,
            [...known].filter((name) => name.startsWith(prefix)),
          ),
        );
    }
    if (problems.length > 0) throw new SettingsError(problems);
  }

  /**
   * `check`, and then what each of them checks by itself.
   *
   * @throws SettingsError with all problems of all of them
   */
  async verify(all: Iterable<Settings>): Promise<void> {
    const settings = [...new Set(all)];
    this.check(settings);
    const problems: string[] = [];
    for (const each of settings) {
      try {
        await each.check?.(this.read(each), this);
      } catch (error) {
        if (!(error instanceof SettingsError)) throw error;
        problems.push(...error.problems);
      }
    }
    if (problems.length > 0) throw new SettingsError(problems);
  }
}

/** One sentence a problem; the message has them all, a line each. */
export class SettingsError extends Error {
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(problems.join('\n'));
    this.name = 'SettingsError';
    this.problems = problems;
  }
}

/** Bear the prefix of a part but speak to somebody else: the tests, the set-up. */
const READ_BY_OTHERS: readonly string[] = ['DIPTYCH_NATS_SERVER', 'DIPTYCH_NATS_PORT', 'DIPTYCH_HAPROXY'];

function parse(schema: TSchema, text: string): unknown {
  switch (kindOf(schema)) {
    case 'integer':
    case 'number':
      // What JavaScript would accept besides (hexadecimal, blanks, Infinity) is more likely a mistake than a number.
      return /^-?\d+(\.\d+)?(e[+-]?\d+)?$/i.test(text) ? Number(text) : undefined;
    case 'boolean':
      return text === 'true' ? true : text === 'false' ? false : undefined;
    default:
      return text;
  }
}

interface Facets {
  readonly type?: string;
  readonly anyOf?: ReadonlyArray<{ const?: unknown }>;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly pattern?: string;
  readonly secret?: boolean;
  readonly allowed?: string;
}

function kindOf(schema: TSchema): string | undefined {
  return (schema as Facets).type;
}

function shown(schema: TSchema, text: string): string {
  return (schema as Facets).secret ? 'set to a value that is not shown' : JSON.stringify(text);
}

/** What a setting accepts, in words. A schema may say it better itself, in `allowed`. */
export function allowed(schema: TSchema): string {
  const facets = schema as Facets;
  if (facets.allowed) return facets.allowed;
  if (facets.anyOf) return `one of ${facets.anyOf.map((option) => String(option.const)).join(', ')}`;
  if (facets.type === 'boolean') return 'true or false';
  if (facets.type === 'integer' || facets.type === 'number') return `a ${facets.type === 'integer' ? 'whole ' : ''}number${range(facets)}`;
  if (facets.pattern) return `text that matches ${facets.pattern}`;
  return `text${lengths(facets)}`;
}

function range({ minimum, maximum }: Facets): string {
  if (minimum !== undefined && maximum !== undefined) return ` from ${minimum} to ${maximum}`;
  if (minimum !== undefined) return ` of ${minimum} or more`;
  return maximum === undefined ? '' : ` of ${maximum} or less`;
}

function lengths({ minLength, maxLength }: Facets): string {
  if (minLength !== undefined && maxLength !== undefined) return ` of ${minLength} to ${maxLength} characters`;
  if (minLength !== undefined) return ` of ${minLength} or more characters`;
  return maxLength === undefined ? '' : ` of at most ${maxLength} characters`;
}

function unknownVariable(variable: string, candidates: readonly string[]): string {
  const nearest = candidates
    .map((candidate) => ({ candidate, distance: editDistance(variable, candidate) }))
    .sort((a, b) => a.distance - b.distance)[0];
  const advice = nearest && nearest.distance <= 6 ? `did you mean ${nearest.candidate}?` : `known are ${candidates.join(', ')}`;
  return `${variable} is no setting of this program; ${advice}`;
}

/** Levenshtein's, by rows. */
function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++)
      row.push(Math.min(previous[j]! + 1, row[j - 1]! + 1, previous[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)));
    previous = row;
  }
  return previous[b.length]!;
}
