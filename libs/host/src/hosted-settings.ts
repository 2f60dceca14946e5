import type { Provider } from '@nestjs/common';
import type { Settings, SettingsProvider } from './settings.js';

/**
 * The settings that the modules of an app declare with `provideSettings`, found in the metadata of its imports, before Nest makes a
 * single instance.
 */
export function hostedSettings(root: unknown): Set<Settings> {
  const found = new Set<Settings>();
  const seen = new Set<unknown>();
  const visit = (entry: unknown): void => {
    if (entry === null || entry === undefined || seen.has(entry)) return;
    seen.add(entry);
    const { module, imports, providers, forwardRef } = entry as ModuleLike;
    if (typeof entry === 'function') collect(metadata('imports', entry), metadata('providers', entry));
    else if (forwardRef) visit(forwardRef());
    else {
      visit(module);
      collect(imports ?? [], providers ?? []);
    }
  };
  const collect = (imports: readonly unknown[], providers: readonly Provider[]): void => {
    for (const provider of providers) {
      const { settings } = provider as Partial<SettingsProvider>;
      if (settings) found.add(settings);
    }
    imports.forEach(visit);
  };
  visit(root);
  return found;
}

interface ModuleLike {
  readonly module?: unknown;
  readonly imports?: readonly unknown[];
  readonly providers?: readonly Provider[];
  readonly forwardRef?: () => unknown;
}

function metadata<T>(key: 'imports' | 'providers', module: object): readonly T[] {
  return (Reflect.getMetadata(key, module) as T[] | undefined) ?? [];
}
