import type { FactoryProvider } from '@nestjs/common';
import { Type, type Static, type TObject, type TProperties } from 'typebox';
import type { Environment } from './environment.js';
import { ENVIRONMENT } from './tokens.js';

/**
 * The settings of one part, each a TypeBox schema with a `default` and a `description`. `dataDir` of the prefix `log` is the environment
 * variable `DIPTYCH_LOG_DATA_DIR`.
 *
 * ```ts
 * export const LOG_SETTINGS = defineSettings('log', {
 *   dataDir: Type.String({ default: 'data/log', description: 'Where the log keeps its files.' }),
 *   partitions: Type.Integer({ default: 1, minimum: 1, maximum: 64, description: '…' }),
 * });
 * export type LogSettings = SettingsOf<typeof LOG_SETTINGS>;
 * ```
 *
 * Understood: String (with `pattern`, `minLength`), Integer, Number (with bounds), Boolean, Union of string Literals, and any of them
 * in `Type.Optional`, which then needs no default. `secret: true` keeps a value out of every message.
 */
export interface Settings<Properties extends TProperties = TProperties> {
  readonly prefix: string;
  readonly schema: TObject<Properties>;
  /** In the order they were written. */
  readonly variables: ReadonlyMap<keyof Properties & string, string>;
  /**
   * What no schema can say. Runs when all values are allowed by themselves, before the port is taken and anything is opened.
   * `environment` is for settings of other parts that these depend on.
   *
   * @throws SettingsError
   */
  check?(values: Readonly<Static<TObject<Properties>>>, environment: Environment): void | Promise<void>;
}

export type SettingsOf<S extends Settings> = Static<S['schema']>;

/** @throws RangeError when a setting lacks its description, or has neither a default nor `Type.Optional`: a defect of the program */
export function defineSettings<Properties extends TProperties>(
  prefix: string,
  properties: Properties,
  check?: Settings<Properties>['check'],
): Settings<Properties> {
  const variables = new Map<keyof Properties & string, string>();
  const schema = Type.Object(properties);
  for (const [name, property] of Object.entries(properties)) {
    const { default: preset, description } = property as { default?: unknown; description?: string };
    const variable = variableOf(prefix, name);
    if (!description) throw new RangeError(`the setting ${variable} has no description`);
    if (preset === undefined && (schema.required as readonly string[] | undefined)?.includes(name))
      throw new RangeError(`the setting ${variable} has no default and is not optional`);
    variables.set(name, variable);
  }
  return { prefix, schema, variables, ...(check && { check }) };
}

/**
 * A Nest provider of the values, under a token of one's own. The host finds it in the imports of an app and checks its
 * settings before anything starts, so that a bad one is reported while no file has been touched.
 */
export function provideSettings<S extends Settings>(token: symbol, settings: S): SettingsProvider {
  return { provide: token, inject: [ENVIRONMENT], useFactory: (environment: Environment) => environment.read(settings), settings };
}

export interface SettingsProvider extends FactoryProvider {
  readonly settings: Settings;
}

/** `DIPTYCH_LOG_DATA_DIR` for `log` and `dataDir`. */
function variableOf(prefix: string, name: string): string {
  return `${variablePrefixOf(prefix)}${constantCase(name)}`;
}

export function variablePrefixOf(prefix: string): string {
  return `DIPTYCH_${constantCase(prefix)}_`;
}

function constantCase(name: string): string {
  return name
    .replace(/([a-z0-9])([A-Z])/g, '$1_$2')
    .replaceAll('-', '_')
    .toUpperCase();
}
